//! The end of the line.

use tokio::time::{Duration, Instant, timeout};

use super::Link;

impl Link {
    /// There will be no other connection. The stream's worker would panic if its wish were
    /// dropped, and at the end of the process there is no time to grant it: it waits for ever.
    pub(in super::super) fn abandon(&mut self) {
        self.wish.take().into_iter().for_each(std::mem::forget);
    }

    /// Says goodbye: writes what is left, if it can be, and closes the stream.
    pub(in super::super) async fn close(mut self, limit: Duration) {
        self.abandon();
        if !self.is_up() {
            return;
        }
        while let Ok(parcel) = self.outgoing.try_recv() {
            self.direct.push_back(parcel);
        }
        let goodbye = async move {
            for parcel in self.direct {
                let (stanza, _) = parcel.open(Instant::now());
                self.stream.send(stanza).await;
            }
            self.stream.close().await;
        };
        let _ = timeout(limit, goodbye).await;
    }
}
