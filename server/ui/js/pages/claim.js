// The first user of a new site: whoever has the code that the start printed becomes its admin.
import { door } from "../elements/door.js";
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
