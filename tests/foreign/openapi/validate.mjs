// Validates OpenAPI documents by @seriousme/openapi-schema-validator: node validate.mjs FILE... One line for each.
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";

let bad = 0;
for (const file of process.argv.slice(2)) {
    const result = await new Validator().validate(JSON.parse(readFileSync(file, "utf8")));
    if (!result.valid) {
        bad += 1;
        console.log(`FAIL ${file}: ${JSON.stringify(result.errors).slice(0, 2000)}`);
    }
}
process.exit(bad === 0 ? 0 : 1);
