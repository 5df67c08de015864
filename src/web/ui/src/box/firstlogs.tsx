// Teaches how the first logs get in: three ways, each to be copied, with the addresses of this very box.

import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from '../api';
import { CopyButton } from '../parts/bits';
import { boxStatus } from './poll';

/** The port of a listener, by words in its name; else the one it has by default. */
function port(words: RegExp, otherwise: number): number {
  const found = boxStatus.value.value?.listeners.find((listener) => words.test(listener.name));
  return Number(/:([0-9]+)$/.exec(found?.address ?? '')?.[1] ?? otherwise);
}

function ways(): { name: string; words: string; text: string }[] {
  const host = location.hostname || 'localhost';
  return [
    { name: 'curl', words: 'A file, or anything that writes lines. The topic makes itself.', text: `curl --data-binary @/var/log/nginx/access.log ${location.origin}/api/v1/ingest/web\n\n# JSON, one object a line, becomes fields\necho '{"app":"shop","message":"hello","took_ms":12}' \\\n  | curl --data-binary @- ${location.origin}/api/v1/ingest/shop` },
    { name: 'Filebeat', words: 'filebeat.yml; acknowledged to Filebeat only when it is on the disk.', text: `filebeat.inputs:\n  - type: filestream\n    id: nginx\n    paths: [/var/log/nginx/*.log]\n\noutput.logstash:\n  hosts: ["${host}:${port(/beats|lumberjack/i, 5044)}"]` },
    { name: 'rsyslog', words: '/etc/rsyslog.d/90-sawbox.conf; everything this machine logs.', text: `*.* action(type="omfwd" target="${host}" port="${port(/syslog/i, 5514)}"\n           protocol="tcp" TCP_Framing="octet-counted"\n           template="RSYSLOG_SyslogProtocol23Format"\n           queue.type="linkedList" action.resumeRetryCount="-1")` },
  ];
}

export function FirstLogs(): JSX.Element {
  const [at, setAt] = useState(0);
  useEffect(() => {
    if (!boxStatus.value.value) api.status(null).then((value) => void (boxStatus.value = { value, problem: '' }), () => undefined);
  }, []);
  const list = ways();
  const way = list[at] ?? list[0];
  if (!way) return <></>;
  return (
    <section class="first" aria-label="Send the first logs" data-first>
      <h2>Send the first logs</h2>
      <p class="quiet">No topic has to be made, no field defined. What arrives is kept as it came, parsed, and found here at once.</p>
      <div class="segments" role="tablist" aria-label="Ways to send">
        {list.map(({ name }, index) => <button key={name} type="button" role="tab" aria-selected={index === at} onClick={() => setAt(index)}>{name}</button>)}
      </div>
      <div class="snippet" role="tabpanel" aria-label={way.name}>
        <p>{way.words}</p>
        <pre>{way.text}</pre>
        <CopyButton text={way.text} what="Snippet" label="Copy" />
      </div>
    </section>
  );
}
