use std::time::Duration;

use tokio::time::advance;

use crate::rig::rig;

#[tokio::test(start_paused = true)]
async fn refusals_are_audited_at_a_bounded_rate_that_the_trail_admits() {
    let rig = rig();
    for _ in 0..1_000 {
        let refused = rig
            .keys
            .refused_from("192.0.2.1", "the API key is not valid")
            .await;
        refused.unwrap();
    }
    let audited = rig.audited().await;
    assert!((1..=20).contains(&audited.len()), "{}", audited.len());
    assert_eq!(audited[0].1.action, "auth.refused");
    assert_eq!(audited[0].1.outcome, "denied");

    advance(Duration::from_secs(61)).await;
    rig.keys
        .refused_from("192.0.2.1", "the API key is not valid")
        .await
        .unwrap();
    let later = rig.audited().await;
    assert_eq!(later.len(), 1);
    let detail = later[0].1.detail.clone().unwrap();
    let left_out = format!("{} more", 1_000 - audited.len());
    assert!(detail.contains(&left_out), "{detail}");
    assert!(
        !detail.contains("192.0.2.1"),
        "an address is personal: {detail}"
    );
}
