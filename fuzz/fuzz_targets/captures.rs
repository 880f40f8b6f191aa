//! Captures of any kind, read to their end, and each of their datagrams dissected.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pssst_inspect::{Content, Dissection, Error, Item, content, each_item};

fuzz_target!(|bytes: &[u8]| {
    let mut dissected = 0;
    // A capture that ends with an error is as good as one that does not.
    drop(each_item::<Error>(bytes, |item| {
        if let Item::Frame(frame) = item
            && let Content::Datagram(datagram) = content(frame.link, frame.data)
        {
            drop(Dissection::of(datagram.payload, datagram.length));
            dissected += 1;
        }
        Ok(())
    }));
    assert!(dissected <= bytes.len());
});
