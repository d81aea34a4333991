use crate::inventory::Inventory;
use crate::state::State;
use crate::survey::survey;
use crate::ui::Ui;

/// Shows what bootstrap would do.
pub fn run(inventory: &Inventory, state: &State, ui: &Ui, json: bool) -> anyhow::Result<()> {
    let fleet = crate::fleet::Fleet::connect(inventory, state, ui)?;
    let survey = survey(&fleet, inventory, state, true)?;
    if json {
        println!("{}", serde_json::to_string(&survey.plans)?);
    } else {
        for plan in survey.plans.values() {
            print!("{}", super::plan::text(plan));
        }
    }
    Ok(())
}

/// One host's plan for people.
pub fn text(plan: &crate::plan::HostPlan) -> String {
    format!("{plan:?}\n")
}
