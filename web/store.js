// Conversations in the browser's IndexedDB; where that is switched off, in memory for as long as the
// page is open. Two stores, so that the list is read without the messages.

const kName = 'phalanx';
const kHeads = 'heads';
const kBodies = 'conversations';

const headOf = ({id, title, created, updated}) => ({id, title, created, updated});

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function open() {
  const request = indexedDB.open(kName, 1);
  request.onupgradeneeded = () => {
    for (const store of [kHeads, kBodies]) request.result.createObjectStore(store, {keyPath: 'id'});
  };
  return settled(request);
}

class DatabaseStore {
  persistent = true;
  constructor(database) { this.database = database; }

  read(store) { return this.database.transaction(store).objectStore(store); }

  change(action) {
    const transaction = this.database.transaction([kHeads, kBodies], 'readwrite');
    action(transaction.objectStore(kHeads), transaction.objectStore(kBodies));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  }

  heads() { return settled(this.read(kHeads).getAll()); }
  all() { return settled(this.read(kBodies).getAll()); }
  get(id) { return settled(this.read(kBodies).get(id)); }
  put(conversation) {
    return this.change((heads, bodies) => {
      heads.put(headOf(conversation));
      bodies.put(conversation);
    });
  }
  remove(id) {
    return this.change((heads, bodies) => {
      heads.delete(id);
      bodies.delete(id);
    });
  }
  clear() {
    return this.change((heads, bodies) => {
      heads.clear();
      bodies.clear();
    });
  }
}

class MemoryStore {
  persistent = false;
  conversations = new Map();

  async heads() { return Array.from(this.conversations.values(), headOf); }
  async all() { return Array.from(this.conversations.values()); }
  async get(id) { return this.conversations.get(id); }
  async put(conversation) { this.conversations.set(conversation.id, structuredClone(conversation)); }
  async remove(id) { this.conversations.delete(id); }
  async clear() { this.conversations.clear(); }
}

export async function openStore() {
  try {
    return new DatabaseStore(await open());
  } catch {
    return new MemoryStore();
  }
}
