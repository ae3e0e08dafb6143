import { element, follow, tell } from './session.js';

const ENDS = {
  ended: 'The command has ended. This page shows the last state.',
  taken: 'Another window shows this dashboard. This one is not updated.',
  refused: 'This address is not valid, or has been used. Run keyprov dashboard again.',
};
const SIGNS = { ok: '✓', info: '·', missing: '–', problem: '!' };
const WORDS = { ok: 'no problem', info: 'information', missing: 'missing', problem: 'problem' };

const byId = (id) => document.getElementById(id);
const say = (text) => byId('summary').replaceChildren(text);
const time = (iso) => new Date(iso).toISOString().replace('T', ' ').replace(/\..*/, ' UTC');

let shown;

byId('check').addEventListener('click', async () => {
  say('Checking this machine …');
  await tell('check');
});
byId('print').addEventListener('click', () => print());
byId('copy').addEventListener('click', async () => {
  if (shown === undefined) return;
  try {
    await navigator.clipboard.writeText(reportOf(shown));
    say('The report has been copied.');
  } catch {
    say('The browser does not allow copying. Print the page instead.');
  }
});

function summaryOf({ sections, machineAt }) {
  const problems = sections.flatMap(({ entries }) => entries).filter(({ status }) => status === 'problem').length;
  const what = problems === 0 ? 'No problems' : problems === 1 ? '1 problem' : `${problems} problems`;
  return `${what}. This machine was checked at ${time(machineAt)}.`;
}

function sectionOf({ id, title, empty, entries }) {
  return element(
    'section',
    { 'aria-labelledby': id },
    element('h2', { id }, title),
    entries.length === 0 ? element('p', { class: 'quiet' }, empty) : element('ul', {}, ...entries.map(entryOf)),
  );
}

function entryOf({ status, name, detail, remedy, rows = [] }) {
  const sign = element('span', { class: 'sign', role: 'img', 'aria-label': WORDS[status] }, SIGNS[status]);
  return element(
    'li',
    { class: `entry ${status}` },
    sign,
    element(
      'div',
      {},
      element('strong', {}, name),
      ' ',
      detail,
      remedy && element('p', { class: 'remedy' }, remedy),
      rows.length > 0
        ? element('dl', {}, ...rows.flatMap(([key, value]) => [element('dt', {}, key), element('dd', {}, value)]))
        : undefined,
    ),
  );
}

/** The same as plain text. */
function reportOf(state) {
  const lines = ['keyprov dashboard', summaryOf(state)];
  for (const { title, empty, entries } of state.sections) {
    lines.push('', title);
    if (entries.length === 0) lines.push(`  ${empty}`);
    for (const { status, name, detail, remedy, rows = [] } of entries) {
      lines.push(`  [${status}] ${name}: ${detail}`);
      if (remedy !== undefined) lines.push(`      to do: ${remedy}`);
      for (const [key, value] of rows) lines.push(`      ${key}: ${value}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const end = await follow((state) => {
  shown = state;
  byId('sections').replaceChildren(...state.sections.map(sectionOf));
  say(summaryOf(state));
});
say(ENDS[end]);
byId('check').disabled = true;
