//! Prometheus' text format. A counter's family is named like its samples, with `_total`, as the
//! classic format has it, so that every scraper and `promtool` reads it.

use std::fmt::Result;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::vitals::Times;

/// One label and its value.
pub(super) type Label<'a> = (&'a str, &'a str);

const NONE: &[Label<'static>] = &[];

/// Writes families of metrics.
pub(super) struct Page<'a>(pub DescriptorEncoder<'a>);

impl Page<'_> {
    /// A number that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> Result {
        self.family(MetricType::Counter, name, help, [(NONE, value)])
    }

    /// Numbers that only grow.
    pub fn counters<'l, L: AsRef<[Label<'l>]>>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> Result {
        self.family(MetricType::Counter, name, help, values)
    }

    /// A number that may grow and shrink; nothing where it is not known.
    pub fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: Option<V>,
    ) -> Result {
        let value = value.map(|value| (NONE, value));
        self.family(MetricType::Gauge, name, help, value)
    }

    /// Numbers that may grow and shrink.
    pub fn gauges<'l, L: AsRef<[Label<'l>]>, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> Result {
        self.family(MetricType::Gauge, name, help, values)
    }

    /// How long things took.
    pub fn histograms<'l, L: AsRef<[Label<'l>]>>(
        &mut self,
        name: &str,
        help: &str,
        times: impl IntoIterator<Item = (L, &'l Times)>,
    ) -> Result {
        let encoder = &mut self.0;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, times) in times {
            let read = times.read();
            let mut classes = read.classes;
            classes.push((f64::INFINITY, read.longer));
            let count = classes.iter().map(|(_, count)| count).sum();
            let sum = read.sum.as_secs_f64();
            let write = |histogram: &mut MetricEncoder| {
                histogram.encode_histogram::<NoLabelSet>(sum, count, &classes, None)
            };
            match labels.as_ref() {
                [] => write(&mut family)?,
                labels => write(&mut family.encode_family(&labels)?)?,
            }
        }
        Ok(())
    }

    fn family<'l, L: AsRef<[Label<'l>]>, V: EncodeGaugeValue>(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            // The encoder's counters would get `_total` a second time.
            match labels.as_ref() {
                [] => family.encode_gauge(&value)?,
                labels => family.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}
