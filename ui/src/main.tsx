import "./style/theme.css";
import "./style/parts.css";
import "./style/tokens.css";
import "./style/pages.css";
import "./style/reading.css";
import "./style/rank.css";
import "./style/answer.css";
import { render } from "preact";
import { takeKeyFromAddress } from "./api/key";
import { App } from "./app";
import "./parts/theme";

takeKeyFromAddress();
render(<App />, document.getElementById("pages")!);
