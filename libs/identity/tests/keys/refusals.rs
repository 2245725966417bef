use std::time::Duration;

use tokio::time::advance;

use crate::rig::rig;

#[tokio::test(start_paused = true)]
async fn refusals_are_audited_at_a_bounded_rate() {
    let rig = rig();
    for _ in 0..1_000 {
        rig.keys.refused("the API key is not valid").await.unwrap();
    }
    let audited = rig.audited().await;
    assert!((1..=20).contains(&audited.len()), "{}", audited.len());
    assert_eq!(audited[0].1.action, "auth.refused");
    assert_eq!(audited[0].1.outcome, "denied");
    advance(Duration::from_secs(61)).await;
    rig.keys.refused("the API key is not valid").await.unwrap();
    assert_eq!(rig.audited().await.len(), 1);
}
