// Reads vitest's JSON report and states what ran, last line `N passed, N failed, N skipped`.
// A test that did not run is not a pass: any skipped test, and a run without tests, is a failure.
import { readFileSync } from "node:fs";
import { relative } from "node:path";

/**
 * @typedef {{ status: string, fullName: string }} Assertion
 * @typedef {{ name: string, status: string, message?: string, assertionResults: Assertion[] }} File
 */

const [path, exitCode] = process.argv.slice(2);
if (path === undefined || exitCode === undefined) {
  throw new Error("usage: report-tests.js <vitest JSON report> <vitest exit code>");
}
const text = readFileSync(path, "utf8");
if (text === "") console.log("the run ended before it could report");
/** @type {{ success: boolean, testResults: File[] }} */
const report = text === "" ? { success: false, testResults: [] } : JSON.parse(text);

/** @type {string[]} */
const failed = [];
/** @type {string[]} */
const skipped = [];
let passed = 0;
for (const file of report.testResults) {
  const name = relative(process.cwd(), file.name);
  const before = failed.length;
  for (const { status, fullName } of file.assertionResults) {
    if (status === "passed") passed += 1;
    else if (status === "failed") failed.push(`${name} > ${fullName}`);
    else skipped.push(`${name} > ${fullName}`);
  }
  if (file.status === "failed" && failed.length === before) failed.push(name);
}

if (exitCode !== "0" && failed.length === 0) failed.push("the run, outside its tests");

for (const name of failed) console.log(`failed: ${name}`);
for (const name of skipped) console.log(`skipped: ${name}`);
if (passed === 0) console.log("no test passed");
console.log(`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
if (!report.success || passed === 0 || failed.length + skipped.length > 0) process.exitCode = 1;
