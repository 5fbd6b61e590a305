import { defineConfig } from "vite";

// The edge takes dist/index.html, dist/app.js and dist/app.css into its binary: three files, fixed names.
export default defineConfig({
  base: "./",
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    cssCodeSplit: false,
    modulePreload: false,
    reportCompressedSize: false,
    assetsInlineLimit: 65536,
    rolldownOptions: {
      output: { entryFileNames: "app.js", assetFileNames: "app.[ext]", codeSplitting: false },
    },
  },
  // While working on the page: `transom demo`, then `npm run dev`, then open the page with ?base=<the edge's origin>.
});
