// What a menu offers.

export interface MenuItem {
  label: string;
  run: () => void;
  /** A link instead of an action. */
  href?: string;
  /** One of several: present on every item of the group, true on the chosen one. Choosing keeps the menu open. */
  checked?: boolean;
  danger?: boolean;
  disabled?: boolean;
  /** A line above this item. */
  separated?: boolean;
  /** The keys that do the same, shown at the right. */
  keys?: string;
}
