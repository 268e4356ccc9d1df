// Shows openapi.json: each route with its parameters, its answers and a command that works.

function make(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

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
  return `curl -F files=@speech.wav ${address}`;
}

function parameters(route) {
  const rows = (route.parameters ?? []).map((p) => {
    const schema = p.schema.anyOf?.[0] ?? p.schema;
    const kind = schema.enum?.join(" | ") ?? schema.type;
    return make("tr", "", make("td", "", make("code", "", p.name)), make("td", "", kind),
      make("td", "", p.description ?? (p.required ? "Required." : "")));
  });
  if (!rows.length) return "";
  return make("div", "scroll", make("table", "", make("caption", "", "Query"), make("tbody", "", ...rows)));
}

function answers(route) {
  const rows = Object.entries(route.responses).map(([status, response]) =>
    make("tr", "", make("td", "", make("code", "", status)), make("td", "", response.description)));
  return make("div", "scroll", make("table", "", make("caption", "", "Answers"), make("tbody", "", ...rows)));
}

async function begin() {
  const description = await (await fetch("/openapi.json")).json();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const title = make("h2", "route", make("span", "verb", method.toUpperCase()), path);
      const command = make("pre", "", make("code", "", example(path, method, route)));
      command.tabIndex = 0;
      document.getElementById("routes").append(make("section", "card", title,
        make("p", "", route.description ?? ""), command, parameters(route), answers(route)));
    }
  }
}

begin();
