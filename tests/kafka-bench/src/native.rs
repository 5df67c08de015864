//! The few calls of librdkafka that are measured, without a wrapper between that would be measured too.
//!
//! rust-rdkafka's producers look the topic up for every record and build a result for every delivery; at two million records a second
//! that is a third of the client's time. Here a batch goes in by one call, and a delivery adds to two counters.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use anyhow::{Context, bail, ensure};
use rdkafka::bindings as c;

/// What the deliveries of one producer came to.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Acknowledged records.
    pub delivered: u64,
    /// Records that were given up.
    pub failed: u64,
    /// From `produce` to acknowledgement, in µs, if wanted.
    pub latencies: Option<Vec<i64>>,
}

/// A configuration of name and value pairs.
fn configuration(pairs: &[(&str, String)]) -> anyhow::Result<*mut c::rd_kafka_conf_t> {
    // SAFETY: a new configuration, owned here until a client takes it over.
    let conf = unsafe { c::rd_kafka_conf_new() };
    for (name, value) in pairs {
        let (name, value) = (CString::new(*name)?, CString::new(value.as_str())?);
        let mut reason: [c_char; 512] = [0; 512];
        // SAFETY: the strings live through the call; the reason is as long as it says.
        let result = unsafe { c::rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), reason.as_mut_ptr(), reason.len()) };
        if result != c::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            // SAFETY: librdkafka ends the reason with a zero.
            bail!("{}", unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy());
        }
    }
    Ok(conf)
}

/// A client made of a configuration, and one topic of it.
struct Handle {
    client: *mut c::rd_kafka_t,
    topic: *mut c::rd_kafka_topic_t,
}

impl Handle {
    fn new(kind: c::rd_kafka_type_t, conf: *mut c::rd_kafka_conf_t, topic: &str) -> anyhow::Result<Self> {
        let mut reason: [c_char; 512] = [0; 512];
        // SAFETY: the configuration is given away; the reason is as long as it says.
        let client = unsafe { c::rd_kafka_new(kind, conf, reason.as_mut_ptr(), reason.len()) };
        // SAFETY: librdkafka ends the reason with a zero.
        ensure!(!client.is_null(), "{}", unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy());
        let name = CString::new(topic)?;
        // SAFETY: the client is alive; a topic without a configuration of its own takes the client's.
        let topic = unsafe { c::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            // SAFETY: nothing else holds the client.
            unsafe { c::rd_kafka_destroy(client) };
            bail!("no topic {name:?}");
        }
        Ok(Self { client, topic })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made together, and nothing else holds them.
        unsafe {
            c::rd_kafka_topic_destroy(self.topic);
            c::rd_kafka_destroy(self.client);
        }
    }
}

/// Counts one delivery; `opaque` is the producer's `Deliveries`.
unsafe extern "C" fn delivered(_: *mut c::rd_kafka_t, message: *const c::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: called out of `rd_kafka_poll` and `rd_kafka_flush` alone, in the thread that holds the producer and is in no other of its
    // methods; the box lives as long as the client.
    let (deliveries, message) = unsafe { (&mut *opaque.cast::<Deliveries>(), &*message) };
    if message.err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        deliveries.delivered += 1;
    } else {
        deliveries.failed += 1;
    }
    if let Some(latencies) = &mut deliveries.latencies {
        // SAFETY: the message is librdkafka's own.
        latencies.push(unsafe { c::rd_kafka_message_latency(message) });
    }
}

/// A producer to one topic, used by one thread.
pub struct Producer {
    handle: Handle,
    /// Written by the callback alone, hence a pointer: see `deliveries`.
    deliveries: *mut Deliveries,
    /// Every record's value. Records refer to it, so it outlives them: `Drop` purges.
    value: Vec<u8>,
    slots: Vec<c::rd_kafka_message_t>,
    /// Whether records are handed over many at a time: three times as fast a client.
    pub batches: bool,
}

impl Producer {
    /// A producer of values of `size` bytes.
    pub fn new(brokers: &str, topic: &str, size: usize, latencies: bool, more: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut pairs = vec![
            ("bootstrap.servers", brokers.to_owned()),
            ("acks", "all".to_owned()),
            // A broker that is killed on purpose is no news.
            ("log_level", "0".to_owned()),
            ("queue.buffering.max.messages", "500000".to_owned()),
            ("queue.buffering.max.kbytes", "1048576".to_owned()),
        ];
        pairs.extend_from_slice(more);
        let conf = configuration(&pairs)?;
        let deliveries = Box::into_raw(Box::new(Deliveries { latencies: latencies.then(Vec::new), ..Deliveries::default() }));
        // SAFETY: the configuration is ours until the next line; the pointer is good until `Drop`, after the client is gone.
        unsafe {
            c::rd_kafka_conf_set_opaque(conf, deliveries.cast());
            c::rd_kafka_conf_set_dr_msg_cb(conf, Some(delivered));
        }
        let handle = Handle::new(c::rd_kafka_type_t::RD_KAFKA_PRODUCER, conf, topic)?;
        // Not one byte over and over: a codec would make nothing of it.
        let value = (0..size).map(|n| b' ' + u8::try_from((n * 7 + n / 11) % 90).unwrap_or(0)).collect();
        Ok(Self { handle, deliveries, value, slots: Vec::new(), batches: false })
    }

    /// Hands over up to `many` records; how many were taken. Fewer where the client's own queue is full: `poll`, then go on.
    /// One call for each, as programs do and as rdkafka_performance does; one for all of them where `batches` says so.
    pub fn produce(&mut self, partition: i32, many: usize) -> anyhow::Result<usize> {
        if !self.batches {
            let (value, len) = (self.value.as_mut_ptr().cast::<c_void>(), self.value.len());
            for taken in 0..many {
                // SAFETY: with flags of 0 the value is referred to, and it lives on; there is no key and no opaque.
                let result = unsafe {
                    c::rd_kafka_produce(self.handle.topic, partition, 0, value, len, ptr::null(), 0, ptr::null_mut())
                };
                if result != 0 {
                    return Ok(taken);
                }
            }
            return Ok(many);
        }
        // SAFETY: a message of zeros is one without key, headers or opaque.
        self.slots.resize_with(many, || unsafe { std::mem::zeroed() });
        for slot in &mut self.slots {
            slot.payload = self.value.as_mut_ptr().cast();
            slot.len = self.value.len();
            slot.err = c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        }
        let count = c_int::try_from(many).context("too many records at once")?;
        // SAFETY: as many messages as said; with flags of 0 the values are referred to, and they live on.
        let taken = unsafe { c::rd_kafka_produce_batch(self.handle.topic, partition, 0, self.slots.as_mut_ptr(), count) };
        Ok(usize::try_from(taken).unwrap_or(0))
    }

    /// Serves deliveries for so long; how many.
    pub fn poll(&mut self, milliseconds: i32) -> i32 {
        // SAFETY: the client is alive.
        unsafe { c::rd_kafka_poll(self.handle.client, milliseconds) }
    }

    /// What was delivered until now.
    pub fn deliveries(&self) -> &Deliveries {
        // SAFETY: the callback writes only inside `poll` and in `Drop`, which want the producer alone.
        unsafe { &*self.deliveries }
    }

    /// Waits until every record is delivered or given up.
    pub fn drain(&mut self, sent: u64) {
        while self.deliveries().delivered + self.deliveries().failed < sent {
            self.poll(100);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: the client is alive; what it still holds is given up, so that nothing refers to the value afterwards. The deliveries go
        // only after the flush, and the client calls back from nowhere else.
        unsafe {
            let everything = c::RD_KAFKA_PURGE_F_QUEUE | c::RD_KAFKA_PURGE_F_INFLIGHT;
            c::rd_kafka_purge(self.handle.client, c_int::try_from(everything).unwrap_or(3));
            c::rd_kafka_flush(self.handle.client, 10_000);
            drop(Box::from_raw(self.deliveries));
        }
    }
}

/// A consumer of one partition.
pub struct Consumer {
    handle: Handle,
    partition: i32,
    slots: Vec<*mut c::rd_kafka_message_t>,
}

impl Consumer {
    /// Begins at `offset`; -2 is the first that is there.
    pub fn new(brokers: &str, topic: &str, partition: i32, offset: i64) -> anyhow::Result<Self> {
        let conf = configuration(&[
            ("bootstrap.servers", brokers.to_owned()),
            // What rdkafka_performance sets, too: how much the client fetches ahead.
            ("queued.min.messages", "1000000".to_owned()),
            ("fetch.queue.backoff.ms", "1".to_owned()),
        ])?;
        let handle = Handle::new(c::rd_kafka_type_t::RD_KAFKA_CONSUMER, conf, topic)?;
        // SAFETY: the topic is alive.
        ensure!(
            unsafe { c::rd_kafka_consume_start(handle.topic, partition, offset) } == 0,
            "cannot consume {topic}/{partition}"
        );
        Ok(Self { handle, partition, slots: vec![ptr::null_mut(); 10_000] })
    }

    /// Takes what is there, waiting for so long: records and bytes of their values.
    pub fn take(&mut self, milliseconds: i32) -> anyhow::Result<(u64, u64)> {
        // SAFETY: as many slots as said.
        let got = unsafe {
            c::rd_kafka_consume_batch(
                self.handle.topic,
                self.partition,
                milliseconds,
                self.slots.as_mut_ptr(),
                self.slots.len(),
            )
        };
        let (mut records, mut bytes, mut wrong) = (0, 0, None);
        for &message in self.slots.iter().take(usize::try_from(got).context("the consumer failed")?) {
            // SAFETY: librdkafka filled as many slots as it says; each message is destroyed once.
            unsafe {
                if (*message).err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    records += 1;
                    bytes += (*message).len as u64;
                } else {
                    wrong = Some(CStr::from_ptr(c::rd_kafka_err2str((*message).err)).to_string_lossy().into_owned());
                }
                c::rd_kafka_message_destroy(message);
            }
        }
        match wrong {
            // What a client asks again by itself after; said all the same, it is not what is measured.
            Some(text) if records == 0 => bail!("consuming: {text}"),
            _ => Ok((records, bytes)),
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // SAFETY: the topic is alive until the handle goes.
        unsafe { c::rd_kafka_consume_stop(self.handle.topic, self.partition) };
    }
}
