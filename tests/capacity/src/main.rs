//! Prints what an installation costs and what breaks first.
#![expect(clippy::print_stdout, reason = "a command that people read")]

use clap::Parser;
use waybill_capacity::{Load, Region};

#[derive(Parser)]
struct Args {
    #[arg(long, value_enum, default_value = "us-east-1")]
    region: Region,
    /// Calls a second to which the multiples refer.
    #[arg(long, default_value_t = Load::BASE)]
    base: f64,
    /// Multiples of the base load.
    #[arg(long, value_delimiter = ',', default_values_t = Load::TIMES)]
    times: Vec<f64>,
    #[arg(long, default_value_t = Load::SEED)]
    seed: u64,
    /// A whole page as it is committed, in place of the tables.
    #[arg(long, value_enum)]
    page: Option<Page>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Page {
    Cost,
    Scaling,
}

fn main() {
    let args = Args::parse();
    let load = Load {
        base: args.base,
        times: args.times,
        seed: args.seed,
    };
    let text = match args.page {
        Some(Page::Cost) => waybill_capacity::cost_page(),
        Some(Page::Scaling) => waybill_capacity::scaling_page(),
        None => waybill_capacity::tables(args.region, &load),
    };
    print!("{text}");
}
