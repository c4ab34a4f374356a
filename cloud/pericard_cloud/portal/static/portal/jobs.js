// Keeps the states of waiting jobs up to date; at the end of one the page is loaded anew, with what one can do then.
const client = document.getElementById("client");
const waiting = () => document.querySelectorAll('tr[data-state="queued"], tr[data-state="running"]');

async function look() {
  for (const row of waiting()) {
    const answer = await fetch(`${client.dataset.api}/jobs/${row.dataset.job}`, { credentials: "same-origin" });
    if (!answer.ok) return location.reload();
    const job = await answer.json();
    if (!["queued", "running"].includes(job.state)) return location.reload();
    row.querySelector("progress").value = job.progress;
    if (job.state !== row.dataset.state) return location.reload();
  }
  if (waiting().length) setTimeout(look, 1000);
}

if (client && waiting().length) setTimeout(look, 1000);
