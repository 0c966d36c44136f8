// Runs before the first paint (a classic script, so it blocks): the chosen theme and language must not flicker in.
(function () {
  var theme = null, lang = null;
  try { theme = localStorage.getItem("leitstand.theme"); lang = localStorage.getItem("leitstand.lang"); } catch (e) { /* private mode */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  if (lang) document.documentElement.lang = lang;
})();
