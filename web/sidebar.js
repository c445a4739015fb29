// The list of conversations.
import {byId, h, iconButton} from './dom.js';

const kDay = 24 * 60 * 60 * 1000;

function groupOf(time, now) {
  const today = new Date(now).setHours(0, 0, 0, 0);
  if (time >= today) return 'Today';
  if (time >= today - kDay) return 'Yesterday';
  if (time >= today - 7 * kDay) return 'Last 7 days';
  return 'Older';
}

export class Sidebar {
  // `actions`: open(id), rename(id, title), remove(id), exportJson(id), exportMarkdown(id).
  constructor(actions) {
    this.actions = actions;
    this.list = byId('conversations');
    this.menu = byId('conversation-menu');
    this.heads = [];
    this.current = null;
    this.menu.addEventListener('click', (event) => this.onMenu(event.target.closest('button')));
    this.menu.addEventListener('keydown', (event) => this.onMenuKey(event));
    byId('open-sidebar').addEventListener('click', () => this.toggle());
    byId('close-sidebar').addEventListener('click', () => this.toggle());
    byId('scrim').addEventListener('click', () => this.toggle());
  }

  get isDrawer() { return matchMedia('(max-width: 800px)').matches; }

  // On a phone it lies over the page and is closed at first; elsewhere it stands beside it.
  toggle() {
    const name = this.isDrawer ? 'drawer-open' : 'sidebar-closed';
    const is = document.body.classList.toggle(name);
    const open = this.isDrawer === is;
    byId(open ? 'close-sidebar' : 'open-sidebar').focus();
  }

  closeDrawer() { document.body.classList.remove('drawer-open'); }

  show(heads, current) {
    this.heads = heads.toSorted((a, b) => b.updated - a.updated);
    this.current = current;
    if (this.renaming) return;
    const now = Date.now();
    const children = [];
    let group = null;
    for (const head of this.heads) {
      const name = groupOf(head.updated, now);
      if (name !== group) children.push(h('li', {class: 'group', role: 'presentation'}, name));
      group = name;
      children.push(this.row(head));
    }
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset : null;
    this.list.replaceChildren(...children);
    if (focused?.id) this.buttonOf(focused.id)?.focus();
    byId('no-conversations').hidden = heads.length > 0;
  }

  buttonOf(id) { return this.list.querySelector(`.open[data-id="${CSS.escape(id)}"]`); }

  row({id, title}) {
    const current = id === this.current;
    return h('li', {class: current ? 'conversation current' : 'conversation'},
             h('button', {type: 'button', class: 'open', 'data-id': id, dir: 'auto', title,
                          'aria-current': current ? 'page' : null, onclick: () => this.actions.open(id)}, title),
             iconButton('more', `Options of ${title}`, (event) => this.openMenu(event.currentTarget, id),
                        {'aria-haspopup': 'menu'}));
  }

  // ------------------------------------------------------------------------------------- menu

  openMenu(button, id) {
    this.menuId = id;
    this.menu.showPopover();
    const {left, bottom, top} = button.getBoundingClientRect();
    const {width, height} = this.menu.getBoundingClientRect();
    const fits = bottom + height < window.innerHeight;
    this.menu.style.left = `${Math.min(left, window.innerWidth - width - 8)}px`;
    this.menu.style.top = `${fits ? bottom + 4 : top - height - 4}px`;
    this.menu.querySelector('button').focus();
  }

  onMenu(button) {
    if (button === null) return;
    const id = this.menuId;
    this.menu.hidePopover();
    if (button.dataset.action === 'rename') {
      this.rename(id);
    } else {
      this.actions[button.dataset.action](id);
    }
  }

  onMenuKey(event) {
    const buttons = Array.from(this.menu.querySelectorAll('button'));
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement);
    buttons.at((at + step) % buttons.length).focus();
  }

  rename(id) {
    const head = this.heads.find((one) => one.id === id);
    const button = this.buttonOf(id);
    const field = h('input', {type: 'text', class: 'rename', 'aria-label': 'Title', maxlength: '200', dir: 'auto'});
    field.value = head.title;
    this.renaming = true;
    const finish = (title) => {
      if (!this.renaming) return;
      this.renaming = false;
      if (title.trim() !== '' && title !== head.title) this.actions.rename(id, title.trim());
      this.show(this.heads, this.current);
      this.buttonOf(id)?.focus();
    };
    field.addEventListener('keydown', (event) => {
      if (event.isComposing) return;
      if (event.key === 'Enter') finish(field.value);
      if (event.key === 'Escape') {
        event.stopPropagation();
        finish('');
      }
    });
    field.addEventListener('focusout', ({relatedTarget}) => relatedTarget !== null && finish(field.value));
    const clicked = new AbortController();
    document.addEventListener('pointerdown', ({target}) => {
      if (target === field) return;
      clicked.abort();
      finish(field.value);
    }, {signal: clicked.signal});
    button.replaceWith(field);
    field.select();
  }
}
