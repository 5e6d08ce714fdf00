//! A cheap HTTP/1.1 client, so that the server is what is measured.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

/// A persistent connection.
pub struct Link {
    host: String,
    stream: BufReader<TcpStream>,
    /// The other side has announced that it will close it.
    over: bool,
}

/// An answer, read to its last byte.
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
}

impl Link {
    pub fn to(host: &str) -> Self {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            host: host.to_owned(),
            stream: BufReader::with_capacity(256 << 10, stream),
            over: false,
        }
    }

    pub fn get(&mut self, path: &str, fields: &str) -> Answer {
        self.ask("GET", path, fields, &[])
    }

    pub fn ask(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> Answer {
        if self.over {
            *self = Self::to(&self.host);
        }
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{length}{fields}\r\n",
            self.host
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request).unwrap();
        self.answer()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn answer(&mut self) -> Answer {
        let first = self.line();
        let status: u16 = first
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect("an answer");
        let (mut length, mut chunked, mut etag) = (None, false, None);
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse::<usize>().ok(),
                "transfer-encoding" => chunked = value.contains("chunked"),
                "connection" => self.over = value.contains("close"),
                "etag" => etag = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size =
                    usize::from_str_radix(self.line().split(';').next().unwrap_or_default(), 16)
                        .unwrap();
                self.take(size, &mut body);
                self.line();
                if size == 0 {
                    break;
                }
            }
        } else if status != 304 && status != 204 {
            match length {
                Some(length) => self.take(length, &mut body),
                None => drop(self.stream.read_to_end(&mut body).unwrap()),
            }
        }
        Answer { status, etag, body }
    }

    fn take(&mut self, size: usize, body: &mut Vec<u8>) {
        let before = body.len();
        self.stream
            .by_ref()
            .take(size as u64)
            .read_to_end(body)
            .unwrap();
        assert_eq!(body.len() - before, size, "the answer broke off");
    }
}

/// A request that many clients send.
#[derive(Clone)]
pub struct Page {
    pub host: String,
    pub path: String,
    pub fields: String,
    pub status: u16,
}

/// Runs this many clients at once, each with this many requests. Returns the milliseconds to the
/// last byte of each answer.
pub fn crowd(page: &Page, clients: usize, times: usize) -> Vec<f64> {
    let begin = Arc::new(Barrier::new(clients));
    let client = |_| {
        let (page, begin) = (page.clone(), begin.clone());
        thread::spawn(move || {
            let mut link = Link::to(&page.host);
            begin.wait();
            let one = |_| {
                let asked = Instant::now();
                let answer = link.get(&page.path, &page.fields);
                assert_eq!(answer.status, page.status, "{} {}", page.host, page.path);
                asked.elapsed().as_secs_f64() * 1_000.0
            };
            (0..times).map(one).collect::<Vec<f64>>()
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect()
}
