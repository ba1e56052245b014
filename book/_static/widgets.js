// Widgets share their page with scripts of the theme that they do not expect.
window.addEventListener("load", () => {
  // Font Awesome would replace the icons of buttons, which the widgets go on to change.
  window.FontAwesome?.noAuto();
  // The widgets speak to MathJax 2; the page has MathJax 3.
  if (window.MathJax) {
    MathJax.Hub = {
      Queue: ([, , element]) =>
        MathJax.startup.promise.then(() => MathJax.typesetPromise([element])),
    };
  }
  if (document.querySelector("script[type='application/vnd.jupyter.widget-view+json']")) {
    new MutationObserver(sayWhatWidgetsShow).observe(document.body, {
      subtree: true,
      childList: true,
      characterData: true,
      attributeFilter: ["class", "aria-valuetext"],
    });
  }
});

// Solutions are read on paper, too.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => (details.open = true));
});

const BUTTONS = { play: "Play", pause: "Pause", stop: "Stop", retweet: "Repeat" };

// Buttons have icons alone, and a slider would speak the number of its step.
function sayWhatWidgetsShow() {
  for (const icon of document.querySelectorAll(".widget-play button i")) {
    const known = Object.keys(BUTTONS).find((name) => icon.classList.contains(`fa-${name}`));
    if (known) say(icon.parentElement, "aria-label", BUTTONS[known]);
  }
  for (const handle of document.querySelectorAll(".widget-slider .noUi-handle")) {
    const slider = handle.closest(".widget-slider");
    say(handle, "aria-label", slider.querySelector(".widget-label")?.textContent || "Step");
    say(handle, "aria-valuetext", slider.querySelector(".widget-readout")?.textContent);
  }
}

function say(element, attribute, text) {
  if (text && element.getAttribute(attribute) !== text) element.setAttribute(attribute, text);
}
