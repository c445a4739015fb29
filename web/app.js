// Puts the page together: what the user does changes a conversation, and views follow.
import {models, version} from './api.js';
import {Composer} from './composer.js';
import {
  addAnswer, addNode, AnswerState, isEmptyAnswer, newConversation, settleAnswers, showVersion, shownPath,
  toolResultsOf,
} from './conversation.js';
import {byId} from './dom.js';
import {Generation} from './generation.js';
import {HealthWatch} from './health.js';
import {announce, notify} from './notice.js';
import {Settings} from './settings.js';
import {SettingsDialog} from './settings_dialog.js';
import {bindShortcuts} from './shortcuts.js';
import {Sidebar} from './sidebar.js';
import {openStore} from './store.js';
import {ThreadView} from './thread_view.js';
import {download, fileNameOf, fromJson, toJson, toMarkdown} from './transfer.js';

const kSaveMs = 700;

class App {
  constructor(store) {
    this.store = store;
    this.settings = new Settings();
    this.heads = new Map();  // id -> what the list shows
    this.conversation = null;  // the one on the page; null: a new one, not yet stored
    this.running = new Map();  // conversation id -> its generation
    this.saves = new Map();  // conversation id -> timer
    this.models = [];
    this.channel = new BroadcastChannel('phalanx');
    this.channel.onmessage = () => this.onOtherTab();

    this.dialog = new SettingsDialog(this.settings, {onKey: () => this.loadModels()});
    this.thread = new ThreadView({
      edit: (node, text) => this.ask(text, node.parent, node),
      regenerate: (node) => this.regenerate(node),
      continueAnswer: (node) => this.generate(this.conversation, node),
      showVersion: (node, index) => this.showVersion(node, index),
      sendToolResult: (node, call, text) => this.sendToolResult(node, call, text),
      openSettings: (field) => this.dialog.open(field),
    });
    this.composer = new Composer({
      onSend: (text) => this.onSend(text),
      onStop: () => this.stop(),
      onEditLast: () => this.thread.lastQuestion()?.edit(),
    });
    this.sidebar = new Sidebar({
      open: (id) => this.navigate(id),
      rename: (id, title) => this.rename(id, title),
      remove: (id) => this.remove(id),
      exportJson: (id) => this.exportOne(id, 'json'),
      exportMarkdown: (id) => this.exportOne(id, 'md'),
    });
    bindShortcuts({
      newChat: () => this.navigate(null),
      toggleSidebar: () => this.sidebar.toggle(),
      regenerate: () => this.regenerateLast(),
      escape: () => this.onEscape(),
      focusMessage: () => this.composer.focus(),
    });
    this.bindButtons();
    this.health = new HealthWatch(() => this.loadModels());
  }

  bindButtons() {
    byId('new-chat').addEventListener('click', () => this.navigate(null));
    byId('new-chat-top').addEventListener('click', () => this.navigate(null));
    byId('export-all').addEventListener('click', () => this.exportAll());
    byId('import').addEventListener('click', () => byId('import-file').click());
    byId('import-file').addEventListener('change', (event) => this.import(event.target));
    byId('delete-all').addEventListener('click', () => this.removeAll());
    byId('toggle-theme').addEventListener('click', () => {
      const root = document.documentElement;
      const dark = root.dataset.theme === 'dark' ||
          (root.dataset.theme === undefined && matchMedia('(prefers-color-scheme: dark)').matches);
      this.dialog.setTheme(dark ? 'light' : 'dark');
    });
    for (const button of document.querySelectorAll('.suggestion')) {
      button.addEventListener('click', () => this.onSend(button.textContent.trim()));
    }
    window.addEventListener('hashchange', () => this.openFromAddress());
    window.addEventListener('pagehide', () => this.saveAllNow());
    document.addEventListener('visibilitychange', () => document.hidden && this.saveAllNow());
  }

  async start() {
    for (const head of await this.store.heads()) this.heads.set(head.id, head);
    await this.openFromAddress();
    if (!this.store.persistent) {
      notify('This browser keeps no data for this page: conversations end with it.');
    }
    if (!this.sidebar.isDrawer) this.composer.focus();
    byId('version').textContent = await version() ?? '';
    document.body.dataset.ready = 'true';
  }

  async loadModels() {
    try {
      this.models = await models(this.settings.apiKey);
    } catch (error) {
      // The badge says when the server is away.
      if (error.status === 401) notify(`${error.problem.title}. It can be entered in the settings.`);
      return;
    }
    this.dialog.showModels(this.models);
    this.showModel();
  }

  // ---------------------------------------------------------------------------- conversations

  // The address holds the conversation, so that reloading and going back work.
  navigate(id) {
    const hash = id === null ? '' : `#${id}`;
    if (location.hash === hash) {
      this.openFromAddress();
    } else if (id === null) {
      history.pushState(null, '', location.pathname + location.search);
      this.openFromAddress();
    } else {
      location.hash = hash;
    }
    if (id === null || !this.sidebar.isDrawer) this.composer.focus();
  }

  async openFromAddress() {
    const id = location.hash.slice(1);
    const wanted = this.running.get(id)?.conversation ?? (id === '' ? null : await this.store.get(id) ?? null);
    if (location.hash.slice(1) !== id) return;  // another was opened meanwhile
    if (wanted !== null && !this.running.has(id)) settleAnswers(wanted);
    this.conversation = wanted;
    this.sidebar.closeDrawer();
    this.show();
    this.thread.scrollToEnd();
  }

  show() {
    this.thread.show(this.conversation);
    this.sidebar.show(Array.from(this.heads.values()), this.conversation?.id ?? null);
    this.composer.showStreaming(this.running.has(this.conversation?.id));
    document.title = this.conversation === null ? 'Phalanx' : `${this.conversation.title} – Phalanx`;
    this.showModel();
  }

  showModel() {
    const {values} = this.settings;
    const model = this.models.find(({id}) => id === values.model) ?? this.models[0];
    byId('model-name').textContent = model === undefined ? '' : model.id.split('/').filter(Boolean).at(-1) ?? model.id;
    byId('model-name').title = model?.id ?? '';
    const path = this.conversation === null ? [] : shownPath(this.conversation);
    const {stats} = path.findLast((node) => node.stats) ?? {stats: null};
    const used = (stats?.promptTokens ?? 0) + (stats?.completionTokens ?? 0);
    byId('context').textContent = stats === null || !model?.maxTokens ? '' :
        `${used.toLocaleString('en')} of ${model.maxTokens.toLocaleString('en')} tokens`;
  }

  async onOtherTab() {
    this.heads = new Map((await this.store.heads()).map((head) => [head.id, head]));
    for (const {conversation} of this.running.values()) this.note(conversation);
    const id = this.conversation?.id;
    if (id !== undefined && !this.running.has(id)) {
      const stored = await this.store.get(id);
      const changed = stored !== undefined && stored.updated !== this.conversation?.updated;
      if (changed && this.conversation?.id === id) this.conversation = stored;
    }
    this.show();
  }

  note({id, title, created, updated}) { this.heads.set(id, {id, title, created, updated}); }

  // Soon; while an answer comes, about once a second.
  save(conversation) {
    this.note(conversation);
    if (this.saves.has(conversation.id)) return;
    this.saves.set(conversation.id, setTimeout(() => this.saveNow(conversation), kSaveMs));
  }

  async saveNow(conversation) {
    clearTimeout(this.saves.get(conversation.id));
    this.saves.delete(conversation.id);
    if (!this.heads.has(conversation.id)) return;  // deleted meanwhile
    try {
      await this.store.put(conversation);
      if (!this.running.has(conversation.id)) this.channel.postMessage('changed');
    } catch (error) {
      notify(`This conversation could not be stored: ${error.message}`);
    }
  }

  saveAllNow() {
    for (const {conversation} of this.running.values()) this.saveNow(conversation);
    if (this.conversation !== null && this.saves.has(this.conversation.id)) this.saveNow(this.conversation);
  }

  // --------------------------------------------------------------------------------- answers

  onSend(text) {
    if (this.running.has(this.conversation?.id)) {
      notify('The answer is still coming. Esc stops it.');
      return false;
    }
    const path = this.conversation === null ? [] : shownPath(this.conversation);
    this.ask(text, path.at(-1)?.id ?? 'root');
    return true;
  }

  // The last argument: of which message it is another version.
  ask(text, parent, {role = 'user', toolCallId} = {}) {
    if (this.running.has(this.conversation?.id)) this.stop();
    const fresh = this.conversation === null;
    this.conversation ??= newConversation();
    const question = addNode(this.conversation, parent, {role, content: text.trim(), toolCallId});
    this.answerTo(question);
    if (fresh) history.pushState(null, '', `#${this.conversation.id}`);
  }

  answerTo(node) { this.generate(this.conversation, addAnswer(this.conversation, node.id)); }

  regenerate(node) {
    if (this.running.has(this.conversation.id)) return;
    // What never had a word is no version worth keeping.
    if (isEmptyAnswer(node) && node.reasoning === '') {
      Object.assign(node, {tokens: [], stats: null});
      this.generate(this.conversation, node);
    } else {
      this.answerTo(this.conversation.nodes[node.parent]);
    }
  }

  regenerateLast() {
    const last = this.thread.lastAnswer();
    if (last !== null) this.regenerate(last.node);
  }

  sendToolResult(node, call, text) {
    const parent = toolResultsOf(this.conversation, node).at(-1) ?? node;
    const result = addNode(this.conversation, parent.id, {role: 'tool', content: text, toolCallId: call.id});
    const results = toolResultsOf(this.conversation, node);
    if (results.length === node.toolCalls.length) return this.answerTo(result);
    this.saveNow(this.conversation);
    this.show();
  }

  generate(conversation, node) {
    const generation = new Generation(conversation, node, this.settings, {
      onChange: () => {
        if (conversation === this.conversation) this.thread.requestUpdate();
        this.save(conversation);
      },
      onEnd: () => this.onEnd(generation),
    });
    this.running.set(conversation.id, generation);
    conversation.updated = Date.now();
    this.note(conversation);
    this.saveNow(conversation);
    announce('The answer is coming.');
    this.show();
    this.thread.scrollToEnd();
    generation.run();
  }

  onEnd(generation) {
    const {conversation, node} = generation;
    // One that was stopped for the next may end after that has begun.
    if (this.running.get(conversation.id) === generation) this.running.delete(conversation.id);
    // Other tabs have it as it was when it began.
    conversation.updated = Date.now();
    this.note(conversation);
    this.saveNow(conversation);
    if (node.state === AnswerState.kFailed) this.health.check();
    if (conversation !== this.conversation) return;
    this.show();
    announce({[AnswerState.kDone]: 'The answer is complete.', [AnswerState.kStopped]: 'Stopped.'}[node.state] ?? '');
  }

  stop() { this.running.get(this.conversation?.id)?.stop(); }

  onEscape() {
    if (this.running.has(this.conversation?.id)) return this.stop();
    this.sidebar.closeDrawer();
    this.composer.focus();
  }

  showVersion(node, index) {
    if (this.running.has(this.conversation.id)) return;
    showVersion(this.conversation, node, index);
    this.saveNow(this.conversation);
    this.show();
    // The button that was pressed is gone with the version that it belonged to.
    const shown = this.conversation.nodes[this.conversation.nodes[node.parent].selected];
    document.querySelector(`[data-id="${shown.id}"] .versions button:enabled`)?.focus();
  }

  // ------------------------------------------------------------------------------------ list

  async loaded(id) { return id === this.conversation?.id ? this.conversation : this.store.get(id); }

  async rename(id, title) {
    const conversation = await this.loaded(id);
    Object.assign(conversation, {title, renamed: true});
    this.note(conversation);
    await this.saveNow(conversation);
    this.show();
  }

  async remove(id) {
    const conversation = await this.loaded(id);
    this.running.get(id)?.stop();
    this.heads.delete(id);
    await this.store.remove(id);
    if (id === this.conversation?.id) this.navigate(null);
    this.show();
    this.channel.postMessage('changed');
    notify(`“${conversation.title}” is deleted.`, async () => {
      this.note(conversation);
      await this.saveNow(conversation);
      this.navigate(id);
    });
  }

  async removeAll() {
    const kept = await this.store.all();
    if (kept.length === 0) return notify('There is nothing to delete.');
    for (const generation of this.running.values()) generation.stop();
    this.heads.clear();
    await this.store.clear();
    byId('settings').close();
    this.navigate(null);
    this.show();
    this.channel.postMessage('changed');
    notify(`${kept.length} ${kept.length === 1 ? 'conversation is' : 'conversations are'} deleted.`, async () => {
      for (const conversation of kept) {
        this.note(conversation);
        await this.saveNow(conversation);
      }
      this.show();
    });
  }

  async exportOne(id, ending) {
    const conversation = await this.loaded(id);
    const [type, text] = ending === 'md' ? ['text/markdown', toMarkdown(conversation)] :
                                           ['application/json', toJson([conversation])];
    download(fileNameOf(conversation, ending), type, text);
  }

  async exportAll() { download('phalanx-conversations.json', 'application/json', toJson(await this.store.all())); }

  async import(input) {
    const [file] = input.files;
    input.value = '';
    if (file === undefined) return;
    try {
      const conversations = fromJson(await file.text());
      for (const conversation of conversations) {
        this.note(conversation);
        await this.saveNow(conversation);
      }
      byId('settings').close();
      if (conversations.length > 0) this.navigate(conversations[0].id);
      this.show();
      notify(`${conversations.length} ${conversations.length === 1 ? 'conversation' : 'conversations'} imported.`);
    } catch (error) {
      notify(error.message);
    }
  }
}

new App(await openStore()).start();
