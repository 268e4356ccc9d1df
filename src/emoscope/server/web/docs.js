// Shows openapi.json: each route with its parameters, its answers and a command that works.

import { make } from "./parts.js";

function example(path, method, route) {
  const query = (route.parameters ?? [])
    .filter((p) => p.in === "query")
    .map((p) => ({ timeline: "timeline=true", format: "format=textgrid" })[p.name])
    .filter(Boolean);
  const address = `"${location.origin}${path}${query.length ? `?${query.join("&")}` : ""}"`;
  if (method === "get") return `curl ${address}`;
  const types = Object.keys(route.requestBody?.content ?? {});
  if (types[0] === "application/json") {
    return `curl -H "content-type: application/json" --data @prediction.json ${address}`;
  }
  return `curl -F files=@speech.wav${path.endsWith("/adapt") ? " -F corrections=@corrections.csv" : ""} ${address}`;
}

function table(caption, rows) {
  const lines = rows.map(([name, ...cells]) =>
    make("tr", "", ...[make("code", "", name), ...cells].map((cell) => make("td", "", cell))));
  if (!lines.length) return "";
  return make("div", "scroll", make("table", "", make("caption", "", caption), make("tbody", "", ...lines)));
}

function parameter(p) {
  const schema = p.schema.anyOf?.[0] ?? p.schema;
  return [p.name, schema.enum?.join(" | ") ?? schema.type, p.description ?? (p.required ? "Required." : "")];
}

async function begin() {
  const description = await (await fetch("openapi.json")).json();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const title = make("h2", "route", make("span", "verb", method.toUpperCase()), path);
      const command = make("pre", "", make("code", "", example(path, method, route)));
      command.tabIndex = 0;
      document.getElementById("routes").append(make("section", "card", title,
        make("p", "", route.description ?? ""), command, table("Query", (route.parameters ?? []).map(parameter)),
        table("Answers", Object.entries(route.responses).map(([status, answer]) => [status, answer.description]))));
    }
  }
}

begin();
