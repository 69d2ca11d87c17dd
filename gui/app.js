// The little that must happen in the browser: which page is shown, light or dark, keys, and pointing at charts.
window.copilot = (() => {
  const PAGES = ['chat', 'documents', 'models', 'train', 'runs'];
  const TITLES = { documents: 'My documents' };

  function show(page) {
    if (!PAGES.includes(page)) page = 'chat';
    document.documentElement.dataset.page = page;
    if (location.hash !== '#' + page) history.pushState(null, '', '#' + page);
    document.querySelectorAll('[data-nav]').forEach((item) => {
      item.setAttribute('aria-current', item.dataset.nav === page ? 'page' : 'false');
    });
    window.dispatchEvent(new Event('resize'));
    const name = TITLES[page] ?? page[0].toUpperCase() + page.slice(1);
    document.title = `${name} · RL Copilot`;
    const opened = document.querySelector(`#opened-${page} button, button#opened-${page}`);
    if (opened) opened.click();
  }

  function paint(dark) {
    document.body.classList.toggle('dark', dark);
    document.documentElement.style.colorScheme = dark ? 'dark' : 'light';
  }

  function startTheme() {
    const kept = localStorage.getItem('copilot-theme');
    const wanted = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
    paint((kept || wanted) === 'dark');
  }

  function switchTheme() {
    const dark = !document.body.classList.contains('dark');
    localStorage.setItem('copilot-theme', dark ? 'dark' : 'light');
    paint(dark);
  }

  function onClick(event) {
    const nav = event.target.closest('[data-nav]');
    if (nav) { event.preventDefault(); show(nav.dataset.nav); return; }
    if (event.target.closest('[data-theme-toggle]')) { switchTheme(); return; }
    const copy = event.target.closest('[data-copy]');
    if (copy) { copyCode(copy); return; }
    const download = event.target.closest('[data-download]');
    if (download) { save(download.dataset.download, codeOf(download)); return; }
    if (event.target.closest('[data-toggle-talks]')) { toggle('talks'); return; }
    if (event.target.closest('#talk-list [data-pick], #new-chat, #talk-delete-really')) {
      stopAnswer();                      // whoever turns to another conversation waits for no answer in this one
      document.documentElement.dataset.talks = 'closed';
    }
    if (event.target.closest('[data-close-sources]')) { document.documentElement.dataset.sources = 'closed'; return; }
    const link = event.target.closest('#chat-log .message a, #passage a, #why-text a, #why-passage a');
    if (link) {                          // a citation opens its source; any other link would lead out of the app
      event.preventDefault();
      event.stopPropagation();
      const source = link.getAttribute('href').split('#source-')[1];
      if (source) openSource(source);
    }
  }

  function onKey(event) {
    const writing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable;
    if (event.key === '/' && !writing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      show('chat');
      write();
    }
    if (event.key === 'Escape') stopAnswer();
  }

  function stopAnswer() {
    const stop = document.querySelector('#stop-answer');
    if (stop && stop.offsetParent !== null) stop.click();
  }

  function toggle(part) {
    const html = document.documentElement;
    html.dataset[part] = html.dataset[part] === 'open' ? 'closed' : 'open';
  }

  // `3-2` is source 2 of the fourth answer in the conversation, `run-2` source 2 of a run's diagnosis.
  function openSource(id) {
    const cut = id.lastIndexOf('-');
    const place = id.slice(0, cut), number = Number(id.slice(cut + 1));
    if (place === 'run') { api.openers.run(place, number); return; }
    document.documentElement.dataset.sources = 'open';
    api.openers.chat(Number(place), number);
  }

  // The line is emptied as its question leaves: the answer may come when the next one is being typed.
  function emptied() {
    const line = document.querySelector('#question textarea');
    line.value = '';
    line.dispatchEvent(new Event('input', { bubbles: true }));
  }

  function write() { document.querySelector('#question textarea')?.focus(); }

  function codeOf(button) { return button.closest('.code').querySelector('code').textContent; }

  async function copyCode(button) {
    await navigator.clipboard.writeText(codeOf(button));
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  }

  function save(name, text) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // A chart is drawn on the server; here the pointer finds the nearest point of each line.
  function onPoint(event) {
    const plot = event.target.closest?.('.plot-area');
    document.querySelectorAll('.plot-tip').forEach((tip) => { if (!plot || !plot.contains(tip)) tip.hidden = true; });
    if (!plot) return;
    const chart = JSON.parse(plot.dataset.chart);
    const box = plot.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width;
    let best = -1, gap = Infinity;
    chart.x.forEach((x, i) => { if (Math.abs(x - at) < gap) { gap = Math.abs(x - at); best = i; } });
    const tip = plot.querySelector('.plot-tip');
    if (best < 0 || !tip) return;
    tip.hidden = false;
    tip.style.left = `${chart.x[best] * 100}%`;
    tip.classList.toggle('flip', chart.x[best] > 0.6);
    tip.querySelector('span').textContent = chart.text[best];
  }

  // Moves the sentence that says what is wrong from below the form to the field it is about.
  function mark() {
    const said = document.querySelector('#settings-error');
    const name = said?.querySelector('[data-field]')?.dataset.field;
    let beside = false;
    document.querySelectorAll('#settings .field').forEach((field) => {
      const wrong = field.querySelector('[data-setting]')?.dataset.setting === name;
      field.classList.toggle('invalid', wrong);
      if (wrong) { field.dataset.error = said.textContent.trim(); beside = true; field.closest('details')?.setAttribute('open', ''); }
    });
    said?.classList.toggle('beside', beside);
  }

  const api = { show, mark, write, emptied, save, openSource, openers: {} };

  function start() {
    startTheme();
    show(location.hash.slice(1));
    window.addEventListener('focus', () => { if (location.hash === '#runs') show('runs'); });
    window.addEventListener('popstate', () => show(location.hash.slice(1)));
    document.addEventListener('click', onClick, true);
    document.addEventListener('keydown', onKey);
    document.addEventListener('pointermove', onPoint, { passive: true });
  }
  if (document.body) start(); else document.addEventListener('DOMContentLoaded', start);
  return api;
})();
