// Prints what the official JavaScript clients know of their services, for
// package test/model: every operation with its URI, members and errors. Types
// and places come from the clients' schemas; enums and the errors of an
// operation stand in their type declarations alone.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";

const services = {
  meetings: "@aws-sdk/client-chime-sdk-meetings",
  pipelines: "@aws-sdk/client-chime-sdk-media-pipelines",
  ivs: "@aws-sdk/client-ivs",
};

// The kinds of schemas and the numbers that stand for simple types.
const LIST = 1, MAP = 2, STRUCTURE = 3, ERROR = -3, OPERATION = 9;
const simple = { 0: "string", 1: "number", 2: "boolean", 4: "timestamp", 5: "timestamp", 6: "timestamp", 7: "timestamp" };
const LIST_OF = 64, MAP_OF = 128;
const LABEL = 1; // the trait of a member that is in the path

const require = createRequire(import.meta.url);

async function describe(name) {
  const client = await import(name);
  const root = dirname(require.resolve(join(name, "package.json")));
  const declarations = readFileSync(join(root, "dist-types/models/models_0.d.ts"), "utf8");
  const enums = await import(join(root, "dist-es/models/enums.js"));

  // interfaces: shape name -> member name -> type's name without [].
  const interfaces = {};
  for (const [, shape, body] of declarations.matchAll(/^export interface (\w+) \{\n(.*?)^\}/gms)) {
    interfaces[shape] = {};
    for (const [, member, type] of body.matchAll(/^ {4}(\w+)\??: (.+?)(?: \| undefined)?;$/gm)) {
      interfaces[shape][member] = type.replace(/\[\]$/, "");
    }
  }

  const resolve = (schema) => {
    while (typeof schema === "function") schema = schema();
    return schema;
  };
  const shapeOf = (ref, type) => {
    const schema = resolve(ref);
    if (typeof schema === "number") {
      if (schema >= MAP_OF) return { kind: "map", of: shapeOf(schema - MAP_OF) };
      if (schema >= LIST_OF) return { kind: "list", of: shapeOf(schema - LIST_OF, type) };
      if (!(schema in simple)) throw new Error(`a simple schema of unknown number ${schema}`);
      const values = enums[type];
      return values ? { kind: "string", enum: Object.values(values).sort() } : { kind: simple[schema] };
    }
    if (schema === "unit") return null;
    switch (schema[0]) {
      case 0:
        return shapeOf(schema[4], type);
      case LIST:
        return { kind: "list", of: shapeOf(member(schema[4]).ref, type) };
      case MAP:
        return { kind: "map", of: shapeOf(member(schema[5]).ref) };
      case STRUCTURE:
        return structure(schema);
    }
    throw new Error(`a schema of unknown kind ${schema[0]}`);
  };
  // A member's schema comes alone or with its traits.
  const member = (m) => (Array.isArray(m) && m.length === 2 ? { ref: m[0], traits: m[1] } : { ref: m, traits: 0 });
  const place = (traits) => {
    if (traits === LABEL || traits.httpLabel) return "path";
    if (traits.httpQuery) return "query " + traits.httpQuery;
    if (traits.httpHeader) return "header " + traits.httpHeader;
    return "body";
  };
  const structure = ([, , shape, , names, members, required = 0]) => ({
    kind: "structure",
    members: names.map((name, i) => {
      const { ref, traits } = member(members[i]);
      return { name, required: i < required, in: place(traits), shape: shapeOf(ref, (interfaces[shape] ?? interfaces["_" + shape])?.[name]) };
    }),
  });

  const operations = {};
  for (const schema of Object.values(client)) {
    if (!Array.isArray(schema) || schema[0] !== OPERATION) continue;
    const [, , operation, traits, input, output] = schema;
    const [method, uri, status] = traits.http;
    const command = readFileSync(join(root, `dist-types/commands/${operation}Command.d.ts`), "utf8");
    const errors = {};
    for (const [, type] of command.matchAll(/@throws \{@link (\w+)\} \((?:client|server) fault\)/g)) {
      const error = client[type + "$"];
      if (error?.[0] !== ERROR) throw new Error(`${operation}: no schema of ${type}`);
      errors[type] = error[3].httpError;
    }
    operations[operation] = { method, uri, status, errors, input: shapeOf(input), output: shapeOf(output) };
  }
  return operations;
}

const all = {};
for (const [service, name] of Object.entries(services)) all[service] = await describe(name);
console.log(JSON.stringify(all));
