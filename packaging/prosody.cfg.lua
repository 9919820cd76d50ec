-- Settings that make Prosody 0.12 fast for gristmill. Copy them into the global section of
-- /etc/prosody/prosody.cfg.lua (above the first VirtualHost), with your own JIDs. Without them
-- everything works too, slowly: keep requests below 200 KiB.

-- Debian lets a client send 10 kB/s; these accounts may send as fast as they can.
unlimited_jids = { "executor@grid.example", "supervisor@grid.example" }
limits = { c2s = { rate = "10kb/s" }; s2sin = { rate = "30kb/s" } }

-- Bytes of the largest stanza (default 256 KiB; a larger one closes the stream): a request of a
-- thousand jobs takes 4 MB. Set max_stanza in gristmill.toml to the same.
c2s_stanza_size_limit = 8 * 1024 * 1024

-- Stanzas kept for a client whose connection was lost, until it resumes (default 500; the rest
-- is lost without a word).
smacks_max_queue_size = 5000

-- Small packets leave at once; otherwise a lone request takes 44 ms.
network_settings = { nagle = false }
