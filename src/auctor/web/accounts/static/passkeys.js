// Passkeys: the only script of the account pages. Without it, or without WebAuthn, the buttons stay hidden and passwords still work.
"use strict";
(() => {
  const able = window.PublicKeyCredential && PublicKeyCredential.parseCreationOptionsFromJSON && PublicKeyCredential.parseRequestOptionsFromJSON;

  async function post(address, place, body) {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Accept": "application/json", "X-CSRF-Token": place.dataset.csrf },
      body: JSON.stringify(body),
      redirect: "error",
    });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error ? found.error.what + "; " + found.error.remedy : "refused");
    return found;
  }

  const ways = {
    async use(place) {
      const options = await post("/sign-in/passkey/options", place, {});
      const passkey = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      const found = await post("/sign-in/passkey", place, { answer: JSON.stringify(passkey), onward: place.dataset.onward || "/" });
      window.location.assign(found.onward);
    },
    async confirm(place) {
      const options = await post("/sign-in/passkey/options", place, {});
      const passkey = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      const form = document.getElementById(place.dataset.form);
      form.elements.namedItem("passkey").value = JSON.stringify(passkey);
      form.requestSubmit();
    },
    async make(place) {
      const options = await post("/account/passkeys/options", place, {});
      const passkey = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
      const found = await post("/account/passkeys", place, { answer: JSON.stringify(passkey), name: place.querySelector("input").value });
      if (!found.codes.length) { window.location.assign("/account"); return; }
      place.querySelector("[role=status]").textContent = found.heading + " " + found.codes.join("  ");
    },
  };

  if (!able) return;
  for (const place of document.querySelectorAll("[data-passkey]")) {
    place.hidden = false;
    place.querySelector("button").addEventListener("click", async () => {
      const status = place.querySelector("[role=status]");
      try { await ways[place.dataset.passkey](place); } catch (error) { status.textContent = error.message; }
    });
  }
})();
