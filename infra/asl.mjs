// Holds the state machines against the tools of AWS users, for the Go test that
// runs it: two linters, and the reference implementation of JSONata.
//
//   node asl.mjs lint     < {"machines": {"<name>": "<definition, substituted>"}}
//   node asl.mjs evaluate < {"cases": [{"source": "<JSONata>", "variables": {...}}]}
//
// It answers JSON: {"faults": ["<name>: <linter>: <sentence>"]}, or
// {"results": [{"value": ...} or {"undefined": true} or {"error": "..."}]}.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(import.meta.url);

async function lint({ machines }) {
  const validate = require("asl-validator");
  const { getLanguageService, TextDocument } = require("amazon-states-language-service");
  const service = getLanguageService({});
  const faults = [];
  for (const [name, definition] of Object.entries(machines)) {
    // checkArn is off: the library knows only resources of Lambda's old form.
    const { isValid, errors } = validate(JSON.parse(definition), { checkArn: false, checkPaths: true });
    if (!isValid) {
      for (const e of errors) faults.push(`${name}: asl-validator: ${e["Error code"] ?? ""} ${e.Message ?? e.message ?? JSON.stringify(e)}`);
    }
    const document = TextDocument.create(`${name}.asl.json`, "asl", 1, definition);
    for (const d of await service.doValidation(document, service.parseJSONDocument(document))) {
      faults.push(`${name}: amazon-states-language-service: line ${d.range.start.line + 1}: ${d.message}`);
    }
  }
  return { faults };
}

async function evaluate({ cases }) {
  const jsonata = require("jsonata");
  const results = [];
  for (const { source, variables } of cases) {
    try {
      const value = await jsonata(source).evaluate(undefined, variables);
      results.push(value === undefined ? { undefined: true } : { value });
    } catch (e) {
      results.push({ error: String(e.message ?? e) });
    }
  }
  return { results };
}

const jobs = { lint, evaluate };
const job = jobs[process.argv[2]];
if (!job) {
  console.error("usage: node asl.mjs lint|evaluate");
  process.exit(2);
}
process.stdout.write(JSON.stringify(await job(JSON.parse(readFileSync(0, "utf8")))));
