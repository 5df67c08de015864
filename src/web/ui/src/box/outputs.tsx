// Outputs: where matching rows are also sent, how far behind each is, and what it last failed at.

import { Fragment } from 'preact';
import type { JSX } from 'preact';
import { count, short } from '../format';
import { Bones, CopyButton, Failed } from '../parts/bits';
import { Icon } from '../parts/icons';
import { boxOutputs, refresh } from './poll';
import { StateMark } from './topics';

export function Outputs(): JSX.Element {
  const { value, problem } = boxOutputs.value;
  return (
    <section class="card" aria-label="Outputs" data-outputs>
      <header><h2>Outputs</h2><small>{value ? count(value.length) : ''}</small></header>
      {problem && !value && <Failed title="The outputs could not be had" text={problem} onRetry={() => void refresh()} />}
      {!value && !problem && <Bones lines={2} />}
      {value && !value.length && <p class="quiet pad">Nothing is sent on. Outputs (Zabbix, webhook) stand in the configuration.</p>}
      {value && value.length > 0 && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Output</th><th>Type</th><th>State</th><th class="number">Waiting</th><th class="number">Sent</th><th class="number">Failed tries</th></tr></thead>
            <tbody>
              {value.map((output) => (
                <Fragment key={output.name}>
                  <tr data-output={output.name}>
                    <th scope="row">{output.name}</th><td>{output.type}</td><td><StateMark state={output.state} /></td>
                    <td class="number">{short(output.lag_records)}</td><td class="number">{count(output.sent)}</td><td class="number">{count(output.failed)}</td>
                  </tr>
                  {output.last_error && <tr class="error-row"><td colSpan={6}><Icon name="warn" />{output.last_error}<CopyButton text={output.last_error} what="Error" /></td></tr>}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
