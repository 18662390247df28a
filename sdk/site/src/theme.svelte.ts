// The reader's choice of light or dark. `auto` follows the system; the bootstrap script applies it before first paint.

export type ThemeChoice = 'auto' | 'light' | 'dark';

const KEY = 'terrace.theme';

class Theme {
  #choice: ThemeChoice = $state(stored());

  get choice(): ThemeChoice {
    return this.#choice;
  }

  set choice(choice: ThemeChoice) {
    this.#choice = choice;
    const root = document.documentElement;
    if (choice === 'auto') delete root.dataset['theme'];
    else root.dataset['theme'] = choice;
    try {
      if (choice === 'auto') localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      // Storage can be denied; the choice then lasts as long as the tab.
    }
  }
}

function stored(): ThemeChoice {
  const value = document.documentElement.dataset['theme'];
  return value === 'light' || value === 'dark' ? value : 'auto';
}

export const theme = new Theme();
