#![doc = include_str!("../README.md")]

mod assumptions;
mod cost;
mod engine;
mod figures;
mod items;
mod requests;
mod scaling;
mod template;
mod text;

pub use figures::Region;
pub use scaling::Load;

/// `docs/cost.md`.
pub fn cost_page() -> String {
    cost::page::page()
}

/// `docs/scaling.md`.
pub fn scaling_page() -> String {
    scaling::page::page()
}

/// The tables of both pages for one region and these loads.
pub fn tables(region: Region, load: &Load) -> String {
    let costs = cost::Costs::read();
    format!(
        "{}{}",
        cost::page::tables(&costs, region),
        scaling::page::tables(region, load)
    )
}
