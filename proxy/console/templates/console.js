"use strict";
// Every page is whole without this file. What only a script can do is `hidden` in the page, and unhidden here.

const toldOnce = document.createElement("p");
toldOnce.className = "hidden";
toldOnce.setAttribute("role", "status");

/** Copies the text or the field before the button, or what the button itself names. */
async function copy(button) {
    const source = button.previousElementSibling;
    const text = button.dataset.copy || source.value || source.textContent.trim();
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        // Plain http has no clipboard, and a frame may not use it.
        if (!copySelected(text)) return;
    }
    toldOnce.textContent = button.dataset.done;
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 2000);
}

function copySelected(text) {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "hidden";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
}

function dressCopyButtons(within) {
    for (const button of within.querySelectorAll("button.copy")) {
        button.hidden = false;
        button.addEventListener("click", () => copy(button));
    }
}

/** Keeps a part of the page up to date, without taking it away from whoever is about to press, type or read there. */
function keepLive(live) {
    let pressed = false, timer;

    function busy() {
        return document.hidden || pressed || live.contains(document.activeElement) || live.querySelector("details[open]");
    }

    function plan() {
        clearTimeout(timer);
        timer = setTimeout(look, live.dataset.seconds * 1000);
    }

    function tellStale(stale) {
        const note = document.getElementById("stale");
        if (note) note.hidden = !stale;
    }

    async function look() {
        if (busy()) return plan();
        try {
            // What `?live` asks for keeps no session alive; where it is over, the answer leads to the login.
            const answer = await fetch("?live=1", { redirect: "manual", cache: "no-store" });
            if (answer.type === "opaqueredirect") return tellStale(true);
            if (answer.status === 200 && !busy()) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
            tellStale(answer.status !== 200);
        } catch {
            tellStale(true);
        }
        plan();
    }

    function show(page) {
        const fresh = page.getElementById("live");
        if (!fresh) return;
        live.replaceChildren(...fresh.childNodes);
        Object.assign(live.dataset, fresh.dataset);
        document.title = page.title;
        dressCopyButtons(live);
    }

    addEventListener("pointerdown", () => { pressed = true; });
    for (const end of ["pointerup", "pointercancel"]) {
        addEventListener(end, () => { setTimeout(() => { pressed = false; }, 500); });
    }
    document.addEventListener("visibilitychange", () => document.hidden || look());
    plan();
}

/** `/` leads to the search field from wherever nobody is typing, and Escape back to where it was pressed. */
function findBySlash(field) {
    let before = null;
    field.setAttribute("aria-keyshortcuts", "/");
    addEventListener("keydown", (event) => {
        // A Persian layout has another sign on that key.
        const slash = event.key === "/" || (event.code === "Slash" && !event.shiftKey);
        if (!slash || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.defaultPrevented) return;
        if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
        event.preventDefault();
        before = document.activeElement;
        field.focus();
        field.select();
    });
    field.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || event.isComposing) return;
        field.blur();
        before?.focus();
        before = null;
    });
}

document.body.append(toldOnce);
dressCopyButtons(document);
const livePart = document.getElementById("live");
if (livePart) keepLive(livePart);
const searchField = document.getElementById("q");
if (searchField) findBySlash(searchField);
