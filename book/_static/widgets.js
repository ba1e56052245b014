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
});
