// Runs before the first paint, so that a chosen theme does not flash. No module: those come later.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem('phalanx.theme');
  } catch {
    // Storage is switched off: the system's theme it is.
  }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
})();
