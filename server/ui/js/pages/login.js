// The door: name and password in, and back to where one wanted to go.
import { door } from "../elements/door.js";
import { t } from "../i18n.js";

door({
  title: t("login.title"),
  text: t("login.text"),
  fields: [
    { name: "name", label: t("login.name"), autocomplete: "username" },
    { name: "password", label: t("login.password"), type: "password", autocomplete: "current-password" },
  ],
  verb: t("login.verb"),
  path: "/login",
  other: { href: "/claim", label: t("login.claim") },
});
