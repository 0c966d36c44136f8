// The first user of a new site: whoever has the code that the start printed becomes its admin.
import { get } from "../api.js";
import { door } from "../elements/door.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";

door({
  title: t("claim.title"),
  text: t("claim.text"),
  fields: [
    { name: "code", label: t("claim.code"), autocomplete: "one-time-code" },
    { name: "name", label: t("login.name"), autocomplete: "username" },
    { name: "password", label: t("login.password"), type: "password", autocomplete: "new-password" },
    { name: "again", label: t("claim.again"), type: "password", autocomplete: "new-password", local: true },
  ],
  verb: t("claim.verb"),
  path: "/claim",
  check: (values) => (values.password === values.again ? null : t("claim.differ")),
  other: { href: "/login", label: t("claim.login") },
});

// Compared with the line that the gateway printed on its console, it shows that nobody sits between.
const { sha256 } = await get("/ui/certificate.json").catch(() => ({ sha256: "" }));
if (sha256) document.querySelector(".card").append(h("p", { class: "quiet" }, t("claim.certificate")), h("p", null, h("code", { class: "fingerprint", id: "fingerprint" }, sha256)));
