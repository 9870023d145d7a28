//! From a job graph to subtasks in slots.

use std::sync::Arc;

use riverrun_dataflow::{Error, JobGraph, Result, SubtaskId};

/// A job graph with every subtask in a slot.
///
/// As in Flink, a slot holds one subtask of every vertex, so a job needs as many slots as its
/// widest vertex has subtasks.
#[derive(Debug, Clone)]
pub struct ExecutionGraph {
    graph: Arc<JobGraph>,
    placements: Vec<Vec<SubtaskId>>,
}

impl ExecutionGraph {
    /// Puts subtask i of every vertex into slot i; `slots` has the number of slots of each TaskManager, which are
    /// filled one after the other.
    ///
    /// # Errors
    /// [`Error::InvalidJob`] if the graph cannot run or needs more slots than there are.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use riverrun_dataflow::{JobGraph, JobVertex, OperatorId, OperatorKind, OperatorNode};
    /// # use riverrun_jobmanager::ExecutionGraph;
    /// # let operator = OperatorNode { id: OperatorId(1), name: "read".into(), description: String::new(), kind: OperatorKind::Source };
    /// # let vertex = JobVertex { id: OperatorId(1), name: "read".into(), parallelism: 3, operators: vec![operator] };
    /// # let graph = Arc::new(JobGraph { name: "job".into(), key_groups: 128, vertices: vec![vertex], edges: vec![] });
    /// let execution = ExecutionGraph::place(graph.clone(), &[2, 2])?; // one vertex with three subtasks
    /// assert_eq!(execution.subtasks_of(0).len(), 2);
    /// assert_eq!(execution.subtasks_of(1).len(), 1);
    /// assert!(ExecutionGraph::place(graph, &[2]).is_err());
    /// # Ok::<(), riverrun_dataflow::Error>(())
    /// ```
    pub fn place(graph: Arc<JobGraph>, slots: &[u32]) -> Result<Self> {
        graph.validate()?;
        let available: u32 = slots.iter().sum();
        if let Some(widest) = graph.vertices.iter().max_by_key(|vertex| vertex.parallelism)
            && widest.parallelism > available
        {
            return Err(Error::InvalidJob {
                job: graph.name.clone(),
                reason: format!(
                    "`{}` has parallelism {} but there are only {available} slots; lower its parallelism or \
                     start TaskManagers with {} more",
                    widest.name,
                    widest.parallelism,
                    widest.parallelism - available
                ),
            });
        }
        let mut placements = vec![Vec::new(); slots.len()];
        let mut first = 0;
        for (placement, &slots) in placements.iter_mut().zip(slots) {
            let here = first..first + slots;
            placement.extend(graph.subtasks().filter(|subtask| here.contains(&subtask.index)));
            first += slots;
        }
        Ok(Self { graph, placements })
    }

    /// The graph behind it.
    pub fn graph(&self) -> &Arc<JobGraph> {
        &self.graph
    }

    /// The subtasks that the TaskManager with this number runs.
    pub fn subtasks_of(&self, task_manager: usize) -> &[SubtaskId] {
        &self.placements[task_manager]
    }
}
