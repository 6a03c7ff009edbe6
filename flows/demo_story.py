"""Chapter `story` of the demo: traffic, an answer and its proof, what leaves the machine, a lost endpoint."""

from flows.demo_report import answer_panel, egress_panel, route_table
from flows.demo_stage import Stage, progress, verified
from flows.demo_traffic import TRAFFIC_S, choose
from flows.stand_in import MODEL_NAME


def tell(stage: Stage) -> None:
    """Replay messages that the model was not trained on; explain, redact, degrade."""
    console, client, script, data = stage.console, stage.client, stage.script, stage.trained["data"]
    messages = choose(stage.usecase, data, stage.home / "data", stage.wishes.labelled, stage.wishes.outside)
    with progress(
        console, f"Send {len(messages)} messages that it was not trained on", len(messages)
    ) as tick:
        observed = client.replay(messages, tick)
    if len(observed) < len(messages):
        console.print(f"  [dim]{len(observed)} sent: the demo sends for {TRAFFIC_S:.0f} s at most[/dim]")

    console.print()
    note = f"{stage.usecase.name} on the {data} data; cloud: {MODEL_NAME}, at a made-up price"
    console.print(route_table(observed, note))
    asked = client.decide(script.question)
    title = "One answer, and its proof"
    console.print(answer_panel(title, script.question, asked, verified(asked, stage.home)))
    stage.relay.seen.clear()
    client.decide(script.personal)
    title = "A card number, and what left the machine instead of it"
    console.print(egress_panel(title, script.personal, list(stage.relay.seen), script.secret))
    stage.relay.stop()
    try:
        asked = client.decide(script.personal)
    finally:
        stage.relay.start()
    title = "The same message with the cloud endpoint stopped"
    console.print(answer_panel(title, script.personal, asked, verified(asked, stage.home)))
