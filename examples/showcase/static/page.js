// Shows what the server says of each file that the page links to.
"use strict";

async function look(row) {
  const link = row.querySelector("a");
  const response = await fetch(link.href, { method: "HEAD", cache: "no-store" });
  const cells = [response.status, response.headers.get("content-type"), response.headers.get("etag")];
  for (const text of cells) {
    const cell = document.createElement("td");
    cell.textContent = text ?? "–";
    row.append(cell);
  }
  return response;
}

async function lookAtAll() {
  const rows = [...document.querySelectorAll("#files tr")];
  const [first] = await Promise.all(rows.map(look));
  const again = await fetch("index.html", {
    cache: "no-store",
    headers: { "if-none-match": first.headers.get("etag") },
  });
  document.getElementById("again").textContent =
    `Asked again with the tag that it has, index.html is answered with ${again.status}.`;
}

lookAtAll();
