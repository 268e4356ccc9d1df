// Keeps the page for use without a network: files from the cache first. A line before this says VERSION and FILES.

self.addEventListener("install", (event) => event.waitUntil((async () => {
  const cache = await caches.open(VERSION);
  await cache.addAll(FILES); // the model's large files are kept by the page as it loads them
  await self.skipWaiting();
})()));

self.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith("emoscope-") && name !== VERSION) await caches.delete(name);
  await self.clients.claim();
})()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  event.respondWith((async () => {
    const found = await caches.match(request, { ignoreSearch: true }) ?? await fetch(request);
    if (!["document", "worker", "sharedworker", "script"].includes(request.destination) || !found.ok) return found;
    // What isolates the page, so that the model may use several cores.
    const headers = new Headers(found.headers);
    headers.set("cross-origin-opener-policy", "same-origin");
    headers.set("cross-origin-embedder-policy", "require-corp");
    headers.set("cross-origin-resource-policy", "same-origin");
    return new Response(found.body, { status: found.status, headers });
  })());
});
