import { judgePin } from './pin-rules.js';
import { element, follow, tell } from './session.js';
import { fill, preferredLanguage, TEXTS } from './texts.js';

const MINUTE_MS = 60_000;

let language = preferredLanguage(navigator.languages);
/** What is shown: the state of the command, or how the page ended. */
let state;
let end;
/** Cleared when another view comes. */
let timer;

const byId = (id) => document.getElementById(id);
const text = (name, values = {}) => fill(TEXTS[language][name], { user: state?.user, ...values });
const say = (words) => byId('said').replaceChildren(words);
const paragraph = (words, attributes) => element('p', attributes, words);
const button = (name, onclick, attributes = {}) =>
  element('button', { type: 'button', onclick, ...attributes }, text(name));
const main = { class: 'main' };
const time = (date) => new Date(date).toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' });

/** The text of a problem: the window's own, or what the library says. */
function problemText({ code, message }, policy = {}) {
  const { minLength: min, maxLength: max, history } = policy;
  const own = TEXTS[language].problems[code];
  return own === undefined ? message : fill(own, { min, max, history, user: state.user });
}

/** The views by name: heading and content. */
const VIEWS = {
  welcome: () => [
    'welcome',
    paragraph(text('welcomeText')),
    element('ol', { class: 'numbered' }, ...TEXTS[language].welcomeSteps.map((step) => element('li', {}, step))),
    actions(
      button('begin', () => tell('begin'), main),
      cancel(),
    ),
  ],
  'sign-in': () => ['signIn', paragraph(text('signInText')), stepList(), actions(cancel())],
  code: ({ userCode, verificationUrl, expires }) => [
    'code',
    paragraph(text('codeText')),
    element('p', {}, element('a', { href: verificationUrl, target: '_blank', rel: 'noreferrer' }, verificationUrl)),
    paragraph(text('codeLabel')),
    // Letter by letter, for who hears it.
    element('p', { class: 'code', role: 'img', 'aria-label': [...userCode].join(' ') }, userCode),
    paragraph(text('codeUntil', { time: time(expires) }), { class: 'quiet' }),
    actions(
      button('copyCode', async () => {
        try {
          await navigator.clipboard.writeText(userCode);
          say(text('copied'));
        } catch {
          say(text('notCopied'));
        }
      }),
      cancel(),
    ),
  ],
  retry: ({ problems }) => [
    'retry',
    ...problemList(problems),
    actions(
      button('again', () => tell('again'), main),
      cancel(),
    ),
  ],
  pin: pinView,
  working: () => ['working', paragraph(text('workingText')), stepList()],
  done: ({ syncAt }) => {
    const sync = paragraph('', { class: 'quiet' });
    const update = () => {
      const minutes = Math.ceil((new Date(syncAt).getTime() - Date.now()) / MINUTE_MS);
      sync.replaceChildren(minutes > 0 ? text('syncLater', { time: time(syncAt), minutes }) : text('syncNow'));
    };
    update();
    timer = setInterval(update, MINUTE_MS / 2);
    return ['done', paragraph(text('doneText')), sync];
  },
  failed: ({ problems }) => ['failed', ...problemList(problems), paragraph(text('failedText')), ...details(problems)],
  pending: ({ problems }) => ['pending', paragraph(text('pendingText')), ...details(problems)],
  ended: () => ['ended', paragraph(text('endedText'))],
  taken: () => ['taken', paragraph(text('takenText'))],
  refused: () => ['refusedPage', paragraph(text('refusedPageText'))],
};

const problemList = (problems) => problems.map((problem) => paragraph(problemText(problem), { class: 'error' }));
const details = (problems) =>
  problems.map(({ code, message, remedy }) =>
    paragraph(`${text('details')} ${code}: ${message}${remedy === undefined ? '' : `; ${remedy}`}`, { class: 'quiet' }),
  );
const actions = (...buttons) => element('div', { class: 'actions' }, ...buttons);
const cancel = () => button('cancel', () => tell('cancel'));

function stepList() {
  const items = state.steps.map(({ name, isDone }) =>
    element(
      'li',
      { class: isDone ? 'step ok' : 'step' },
      element('span', { class: 'sign', 'aria-hidden': 'true' }, isDone ? '✓' : '…'),
      element('span', {}, TEXTS[language].steps[name]),
      element('span', { class: 'hidden' }, text(isDone ? 'stepDone' : 'stepActive')),
    ),
  );
  return element('ul', {}, ...items);
}

function pinView({ policy, problems }) {
  const input = (id) =>
    element('input', {
      id,
      type: 'password',
      autocomplete: 'new-password',
      'aria-describedby': 'rules left',
      required: true,
    });
  const [first, second] = [input('pin'), input('again')];
  const list = element('ul', { id: 'rules' });
  const left = element('p', { id: 'left', class: 'quiet', role: 'status' });
  const judge = () => {
    const rules = judgePin(first.value, policy);
    if (first.value !== second.value) rules.push({ code: 'confirmation-differs', holds: false });
    const signs = { true: ['✓', 'met'], false: ['○', 'open'], undefined: ['·', 'later'] };
    list.replaceChildren(
      ...rules.map(({ code, holds }) =>
        element(
          'li',
          { class: holds ? 'rule ok' : 'rule' },
          element('span', { class: 'sign', 'aria-hidden': 'true' }, signs[holds][0]),
          element('span', {}, problemText({ code }, policy)),
          element('span', { class: 'hidden' }, text(signs[holds][1])),
        ),
      ),
    );
    const open = rules.filter(({ holds }) => holds === false).length;
    const words = open === 0 ? text('rulesMet') : text('rulesOpen', { count: open });
    if (left.textContent !== words) left.replaceChildren(words); // so that it is not said again
  };
  const refused = element('div', { role: 'alert', class: 'error' });
  const refuse = (reasons) =>
    refused.replaceChildren(
      paragraph(text('refused')),
      ...reasons.map((problem) => paragraph(problemText(problem, policy))),
    );
  if (problems.length > 0) refuse(problems);
  const show = element('input', {
    id: 'show',
    type: 'checkbox',
    onchange: () => {
      for (const one of [first, second]) one.type = show.checked ? 'text' : 'password';
    },
  });
  const submit = async (event) => {
    event.preventDefault();
    const entries = new TextEncoder().encode(`${first.value}\n${second.value}`);
    for (const one of [first, second]) one.value = '';
    // Nothing that can be right is too long to be sent.
    if (!(await tell('pin', entries))) refuse([{ code: 'too-long' }]);
    judge();
  };
  for (const one of [first, second]) one.addEventListener('input', judge);
  judge();
  return [
    'pin',
    paragraph(text('pinText')),
    refused,
    element(
      'form',
      { onsubmit: submit, novalidate: true },
      element('label', { for: 'pin' }, text('pinLabel')),
      first,
      element('label', { for: 'again' }, text('pinAgain')),
      second,
      element('label', { class: 'choice' }, show, text('show')),
      element('h2', {}, text('rules')),
      list,
      left,
      actions(element('button', { type: 'submit', class: 'main' }, text('save')), cancel()),
    ),
  ];
}

/** Shows the view; `isNew` moves the focus to it, which has it read. */
function render(isNew) {
  clearInterval(timer);
  const view = end === undefined ? state.view : { name: end };
  const [heading, ...content] = VIEWS[view.name](view);
  const title = element('h1', { tabindex: '-1' }, text(heading));
  document.documentElement.lang = language;
  document.title = title.textContent;
  byId('view').replaceChildren(title, ...content);
  byId('languages').replaceChildren(...Object.keys(TEXTS).map(languageButton));
  if (isNew) (byId('pin') ?? title).focus();
}

function languageButton(name) {
  const choose = () => {
    language = name;
    const typed = ['pin', 'again'].map((id) => byId(id)?.value ?? '');
    render(false);
    for (const [index, id] of ['pin', 'again'].entries()) {
      const input = byId(id);
      if (input === null) continue;
      input.value = typed[index];
      input.dispatchEvent(new Event('input'));
    }
    byId(`language-${name}`).focus();
  };
  const attributes = { id: `language-${name}`, lang: name, 'aria-pressed': String(name === language) };
  return element('button', { type: 'button', onclick: choose, ...attributes }, TEXTS[name].language);
}

const isLast = ({ name }) => ['done', 'failed', 'pending'].includes(name);

const ended = await follow((next) => {
  const isNew = JSON.stringify(next.view) !== JSON.stringify(state?.view);
  state = next;
  render(isNew);
  const active = next.steps.find(({ isDone }) => !isDone);
  if (next.view.name === 'working' && active !== undefined) say(TEXTS[language].steps[active.name]);
  return !isLast(next.view);
});
if (ended === 'done') await tell('seen');
else {
  end = ended;
  render(true);
}
