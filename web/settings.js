// What the user has set, checked, in localStorage; the API key in sessionStorage unless it is to be
// remembered.

const kKey = 'phalanx.settings';
const kApiKey = 'phalanx.apiKey';

// Empty means: the server's own. `check` gives the words of what is wrong, or null.
const range = (low, high, open = '') => (value) => {
  const fits = Number.isFinite(value) && value <= high && (open === '' ? value >= low : value > low);
  return fits ? null : `Allowed: ${open || 'from '}${low} to ${high}, or empty`;
};
const integer = (low) => (value) =>
    Number.isSafeInteger(value) && value >= low ? null : `Allowed: a whole number from ${low} on, or empty`;

export const kNumbers = {
  temperature: {check: range(0, 2)},
  top_p: {check: range(0, 1, 'above ')},
  max_tokens: {check: integer(1)},
  seed: {check: integer(0)},
};

const kDefaults = {
  temperature: '', top_p: '', max_tokens: '', seed: '', system: '', tools: '', probabilities: true, model: '',
};

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(kKey) ?? '{}');
    const fits = ([name, value]) => typeof value === typeof kDefaults[name];
    return {...kDefaults, ...Object.fromEntries(Object.entries(stored).filter(fits))};
  } catch {
    return {...kDefaults};
  }
}

function write(storage, name, value) {
  try {
    value === '' ? window[storage].removeItem(name) : window[storage].setItem(name, value);
  } catch {
    // Storage is switched off: it holds until the page is closed.
  }
}

function read(storage, name) {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

// The words of what is wrong with a number's text, or null.
export function checkNumber(name, text) {
  return text.trim() === '' ? null : kNumbers[name].check(Number(text));
}

// What a header can carry.
export const checkApiKey = (key) =>
    /^[\x21-\x7e]*$/.test(key.trim()) ? null : 'Allowed: printable ASCII without spaces';

// A list of tools in OpenAI's form, or the words of what is wrong.
export function parseTools(text) {
  if (text.trim() === '') return {tools: []};
  try {
    const tools = JSON.parse(text);
    const fits = Array.isArray(tools) && tools.every((tool) => typeof tool?.function?.name === 'string');
    return fits ? {tools} : {error: 'Allowed: a JSON list of {"type": "function", "function": {"name": ...}}'};
  } catch (error) {
    return {error: `Not JSON: ${error.message}`};
  }
}

export class Settings {
  constructor() {
    this.values = readStored();
    this.remembersKey = read('localStorage', kApiKey) !== null;
    this.apiKey = read('localStorage', kApiKey) ?? read('sessionStorage', kApiKey) ?? '';
  }

  set(name, value) {
    this.values[name] = value;
    write('localStorage', kKey, JSON.stringify(this.values));
  }

  setApiKey(key, remember) {
    this.apiKey = key.trim();
    this.remembersKey = remember;
    write('localStorage', kApiKey, remember ? this.apiKey : '');
    write('sessionStorage', kApiKey, remember ? '' : this.apiKey);
  }

  // Of a chat request: what is set.
  sampling() {
    const fields = {};
    for (const name of Object.keys(kNumbers)) {
      const text = this.values[name].trim();
      if (text !== '' && checkNumber(name, text) === null) fields[name] = Number(text);
    }
    return fields;
  }
}
