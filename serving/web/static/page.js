// Signs in and out; everything else on these pages works without it.

async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body), credentials: "same-origin" });
}

async function signIn(key, problem) {
  const answer = await post("/session", { key });
  if (answer.ok) {
    location.reload();
    return;
  }
  const told = { 401: "This key is not valid here.", 429: "Too many wrong keys. Try again in a minute." };
  problem.textContent = told[answer.status] || "Signing in failed. Try again.";
  problem.hidden = false;
}

const form = document.getElementById("sign-in");
const given = new URLSearchParams(location.hash.slice(1)).get("key");
if (given) {
  // The fragment never reaches a server; take it out of the address bar and the history too.
  history.replaceState(null, "", location.pathname + location.search);
}
if (form) {
  const problem = document.getElementById("sign-in-error");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    signIn(form.elements.key.value.trim(), problem);
  });
  if (given) {
    signIn(given, problem);
  }
}

const out = document.getElementById("sign-out");
if (out) {
  out.hidden = false;
  out.addEventListener("click", async () => {
    await post("/session/end", {});
    location.assign("/");
  });
}
