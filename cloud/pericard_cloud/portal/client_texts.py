"""What the browser's client says, in the language of the page. Its script fills in `{names}` in braces."""

from django.utils.translation import gettext_lazy as _

CLIENT_TEXTS = {
    # What is going on.
    "ready": _("Ready: what you enter is encrypted here, in your browser."),
    "working": _("Your prediction is under way."),
    "done": _("Done. The answer was decrypted here; the server does not know it."),
    "stage-keys": _("Looking for keys"),
    "stage-making-keys": _("Making keys"),
    "stage-sending-keys": _("Sending the public keys"),
    "stage-encrypting": _("Encrypting"),
    "stage-sending": _("Sending the encrypted query"),
    "stage-waiting": _("Waiting for the server's turn"),
    "stage-computing": _("The server computes on encrypted numbers"),
    "stage-fetching": _("Fetching the encrypted result"),
    "stage-decrypting": _("Decrypting"),
    "stage-done": _("Decrypted"),
    # Features.
    "rows-taken": _("Rows taken from the file: {count}. They stay in your browser."),
    "rows-taken-but": _(
        "Rows taken from the file: {count}. They stay in your browser. "
        "The model has no such columns: {columns}."
    ),
    "form-instead": _("The form is used now, no file."),
    "empty-table": _("The file has no row of data."),
    "too-many-rows": _("The file has too many rows: {most} can be asked at once."),
    "large-table": _("The file is too large: split it."),
    "missing-column": _("Row {row}: the column “{column}” is missing."),
    "missing-value": _("Row {row}, column “{column}”: the value is missing."),
    "no-number": _("Row {row}, column “{column}”: this is no number."),
    "far-value": _(
        "Row {row}, column “{column}”: {value} is far from what the model knows, {minimum} to {maximum}. "
        "Is it in another unit?"
    ),
    "no-json": _("The file is no JSON object, or list of objects, of names and numbers."),
    "column-twice": _("A column's name comes twice in the first line."),
    "short-line": _("Row {row} does not have as many values as there are columns."),
    "open-quote": _("The file is no CSV: a quotation mark is not closed."),
    # Answers.
    "row": _("Row"),
    "answer": _("Answer"),
    "probabilities": _("Probabilities"),
    "save-answers": _("Save the answers"),
    "more-rows": _("Rows not shown here: {count}. Save the answers to have them all."),
    "download-encrypted": _("Download the encrypted result"),
    "sizes": _("Sent: {sent} encrypted bytes. Received: {got}."),
    # Keys.
    "keys-here": _("Secret keys in this browser"),
    "no-keys-here": _("There are none. Make keys, or import some that you exported elsewhere."),
    "keys-made": _(
        "Keys were made. The secret key is in this browser only: export it, or it is lost with it."
    ),
    "serves": _("for: {models}"),
    "delete": _("Delete"),
    "delete-key": _("Delete the secret key {name} from this browser"),
    "really-delete": _("Delete this secret key? Without an export, nobody can ever open its results again."),
    "key-deleted": _("The secret key was deleted from this browser."),
    "sealing": _("Sealing the key under your passphrase"),
    "opening": _("Opening the file"),
    "exported": _("The key was exported. Keep the file and the passphrase apart."),
    "imported": _("The key was imported: results under it open here."),
    "imported-but": _(
        "The key was imported: results under it open here. "
        "This site no longer has its public part: make new keys to ask."
    ),
    "choose-file": _("Choose a file of exported keys first."),
    "short-passphrase": _(
        "Take a passphrase of at least {least} characters: some random words are a good one."
    ),
    "wrong-passphrase": _("The key does not open: another passphrase, or the file was changed."),
    "bad-export": _("This is no file of exported keys."),
    # What goes wrong.
    "refused": "{message}",
    "no-connection": _("The site does not answer. Are you connected? Try again."),
    "no-webassembly": _(
        "This browser cannot encrypt here: it has no WebAssembly, or the connection is not secure."
    ),
    "no-store": _(
        "This browser keeps nothing for this site, so that keys cannot be kept: leave its private mode."
    ),
    "no-key": _("The secret key {fingerprint} is not in this browser: import it."),
    "other-keys": _("These bytes were made with other keys."),
    "other-model": _("This is for another version of the model: encrypt again."),
    "other-version": _("The site speaks another version than this page: load it again."),
    "bad-manifest": _("The model's description is damaged: load the page again."),
    "no-reply": _("These bytes are no encrypted result."),
    "damaged-reply": _("The encrypted result is damaged: fetch it again."),
    "does-not-open": _("The result does not open: it was damaged, or is under another secret key."),
    "failed": _("Something went wrong in this page. Load it again; if it stays so, tell who runs this site."),
}
