use crate::inventory::Inventory;
use crate::state::State;
use crate::ui::Ui;

pub fn run(_inventory: &Inventory, _state: &State, _ui: &Ui, _yes: bool) -> anyhow::Result<()> {
    anyhow::bail!("not written yet")
}
