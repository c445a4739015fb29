// The dialog of settings. What is entered holds at once; what is wrong is said beside its field and
// not used.
import {byId} from './dom.js';
import {checkApiKey, checkNumber, kNumbers, parseTools} from './settings.js';

function showFault(field, fault) {
  const line = byId(`${field.id}-fault`);
  line.textContent = fault ?? '';
  line.hidden = fault === null;
  field.setAttribute('aria-invalid', String(fault !== null));
}

export class SettingsDialog {
  // `onKey`: the API key has changed.
  constructor(settings, {onKey}) {
    this.settings = settings;
    this.dialog = byId('settings');
    for (const name of Object.keys(kNumbers)) {
      this.bindText(name, name.replace('_', '-'), (text) => checkNumber(name, text));
    }
    this.bindText('system', 'system', () => null);
    this.bindText('tools', 'tools', (text) => parseTools(text).error ?? null);
    this.bindProbabilities();
    this.bindKey(onKey);
    this.bindModel();
    this.bindTheme();
    for (const button of this.dialog.querySelectorAll('[data-close]')) {
      button.addEventListener('click', () => this.dialog.close());
    }
    this.dialog.addEventListener('click', (event) => {
      if (event.target === this.dialog) this.dialog.close();  // its backdrop
    });
    byId('reset-settings').addEventListener('click', () => this.reset());
    byId('open-settings').addEventListener('click', () => this.open());
  }

  bindText(name, id, check) {
    const field = byId(id);
    field.value = this.settings.values[name];
    showFault(field, check(field.value));
    const take = () => {
      // A number field that holds no number has no value.
      const fault = field.validity?.badInput ? 'Allowed: a number, or empty' : check(field.value);
      showFault(field, fault);
      if (fault === null) this.settings.set(name, field.value);
    };
    field.addEventListener('input', take);
    field.addEventListener('change', take);
  }

  bindProbabilities() {
    const box = byId('probabilities');
    box.checked = this.settings.values.probabilities;
    box.addEventListener('change', () => this.settings.set('probabilities', box.checked));
  }

  bindKey(onKey) {
    const field = byId('api-key');
    const remember = byId('remember-key');
    field.value = this.settings.apiKey;
    remember.checked = this.settings.remembersKey;
    const save = () => {
      const fault = checkApiKey(field.value);
      showFault(field, fault);
      if (fault !== null) return;
      this.settings.setApiKey(field.value, remember.checked);
      onKey();
    };
    field.addEventListener('change', save);
    remember.addEventListener('change', save);
    byId('access').addEventListener('submit', (event) => {
      event.preventDefault();
      save();
      this.dialog.close();
    });
  }

  bindModel() {
    const select = byId('model');
    select.addEventListener('change', () => this.settings.set('model', select.value));
  }

  bindTheme() {
    const chosen = document.documentElement.dataset.theme ?? 'system';
    for (const radio of this.dialog.querySelectorAll('[name="theme"]')) {
      radio.checked = radio.value === chosen;
      radio.addEventListener('change', () => this.setTheme(radio.value));
    }
  }

  setTheme(theme) {
    if (theme === 'system') {
      delete document.documentElement.dataset.theme;
    } else {
      document.documentElement.dataset.theme = theme;
    }
    for (const radio of this.dialog.querySelectorAll('[name="theme"]')) radio.checked = radio.value === theme;
    try {
      localStorage.setItem('phalanx.theme', theme);
    } catch {
      // Storage is switched off: it holds until the page is closed.
    }
  }

  // What the server serves; one that is not served any more is not asked for.
  showModels(models) {
    const select = byId('model');
    const {model} = this.settings.values;
    select.replaceChildren(...models.map(({id}) => new Option(id, id)));
    const known = models.some(({id}) => id === model);
    if (models.length > 0 && !known) this.settings.set('model', '');
    select.value = known ? model : models[0]?.id ?? '';
    byId('model-row').hidden = models.length < 2;
  }

  reset() {
    for (const name of [...Object.keys(kNumbers), 'system', 'tools']) {
      const field = byId(name.replace('_', '-'));
      field.value = '';
      field.dispatchEvent(new Event('input'));
    }
  }

  open(fieldId = null) {
    if (!this.dialog.open) this.dialog.showModal();
    if (fieldId === null) return;
    const field = byId(fieldId);
    field.closest('details')?.setAttribute('open', '');
    field.focus();
    field.scrollIntoView({block: 'center'});
  }
}
