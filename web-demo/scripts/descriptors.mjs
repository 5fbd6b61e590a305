// Compiles the demo's .proto files into src/descriptors.ts: a FileDescriptorSet, without comments, as base64.
// Run after a change under ../protos: npm run descriptors (PROTOC names the compiler, with its arguments).
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FILES = ["helloworld.proto", "bookstore.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"];

const here = dirname(fileURLToPath(import.meta.url));
const protos = join(here, "../../protos");
const work = mkdtempSync(join(tmpdir(), "transom-descriptors-"));
try {
  const set = join(work, "set.binpb");
  const [program, ...first] = (process.env.PROTOC ?? "protoc").split(" ");
  execFileSync(program, [...first, `-I${protos}`, "--include_imports", `--descriptor_set_out=${set}`, ...FILES], {
    stdio: "inherit",
  });
  const lines = readFileSync(set).toString("base64").match(/.{1,120}/g) ?? [];
  const out = [
    `// FileDescriptorSet of ${FILES.join(", ")} and what they import.`,
    "// Written by scripts/descriptors.mjs; do not edit.",
    "export const DESCRIPTOR_SET =",
    lines.map((l) => `  "${l}"`).join(" +\n") + ";",
    "",
  ].join("\n");
  writeFileSync(join(here, "../src/descriptors.ts"), out);
} finally {
  rmSync(work, { recursive: true, force: true });
}
