// Before anything is painted: the theme that was chosen, if one was. It is no
// module, so that it runs before the page shows.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem('theme'); } catch { /* storage is off: as the system says */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
