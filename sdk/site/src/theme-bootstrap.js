// Runs before the first paint, as a file of its own because the content security policy allows no inline script.
try {
  const choice = localStorage.getItem('terrace.theme');
  if (choice === 'light' || choice === 'dark') document.documentElement.dataset.theme = choice;
} catch {
  // Storage can be denied; the system's preference then decides.
}
