// The window: it asks for the PIN and shows the result.
const form = document.querySelector('form');
const status = document.querySelector('[role=status]');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const pin = form.elements.pin.value;
  form.reset();
  const made = await window.keys.create(crypto.getRandomValues(new Uint8Array(32)), pin);
  const signed = made.error ? made : await window.keys.sign(made.id, new TextEncoder().encode('hello'), pin);
  status.textContent = signed.error
    ? [signed.message, signed.remedy].filter(Boolean).join('; ') // not every error has a remedy
    : `signed; where the key is: ${made.assurance}`;
});
