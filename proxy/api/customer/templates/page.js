// Makes the page live where scripts run: it looks for news without leaving, keeps what it shows while the connection is
// lost, and copies the bank's code. Without it the page refreshes itself, and the code can be selected.
(() => {
  const main = document.querySelector("main"), offline = document.getElementById("offline"), live = document.getElementById("live");
  let timer;

  function copy(button) {
    const code = button.parentNode.querySelector(".code"), selection = getSelection(), label = button.textContent;
    selection.selectAllChildren(code);
    if (document.execCommand("copy")) {
      button.textContent = live.textContent = button.dataset.copied;
      setTimeout(() => { button.textContent = label; }, 2000);
    }
  }

  function dress() {
    for (const button of main.querySelectorAll("[data-copied]")) {
      button.hidden = false;
      button.onclick = () => copy(button);
    }
  }

  function plan() {
    clearTimeout(timer);
    if ("next" in main.dataset) timer = setTimeout(look, main.dataset.seconds * 1000);
  }

  function show(page) {
    const fresh = page.querySelector("main");
    if (fresh.dataset.state !== main.dataset.state) {
      main.replaceChildren(...fresh.childNodes);
      document.title = live.textContent = page.title;
      dress();
    }
    for (const name of ["next", "seconds"]) delete main.dataset[name];
    Object.assign(main.dataset, fresh.dataset);
  }

  async function look() {
    clearTimeout(timer);
    const url = new URL(main.dataset.next, location.href);
    try {
      const answer = await fetch(url, { redirect: "manual", cache: "no-store", credentials: "omit" });
      if (answer.type === "opaqueredirect") return location.replace(url);
      // Who is told to wait shows what is known already.
      if (answer.status < 429) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        // A page that goes on by itself has a policy of its own, which lets it post its form.
        if ("go" in page.querySelector("main").dataset) return location.replace(url);
        show(page);
      }
      offline.hidden = true;
    } catch {
      offline.hidden = false;
    }
    plan();
  }

  if ("go" in main.dataset) return document.forms.length ? document.forms[0].submit() : location.replace(main.querySelector("a.button").href);
  addEventListener("online", () => "next" in main.dataset && look());
  document.addEventListener("visibilitychange", () => document.hidden || ("next" in main.dataset && look()));
  dress();
  plan();
})();
