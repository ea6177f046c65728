import { render } from "preact";

render(<p>netsessions</p>, document.getElementById("app")!);
